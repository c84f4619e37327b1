"""Batches as a run uses them: what has no answer is handed in, and what has ended is taken into the ledger."""
