"""The student: a small model, taught by the answers in the ledger, that labels rows under a certificate."""
