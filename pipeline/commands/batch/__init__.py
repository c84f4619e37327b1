"""Batches that are under way, for people; and what they would cost."""
