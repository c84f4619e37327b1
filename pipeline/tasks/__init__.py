"""The task as pure functions: rows to prompts and keys, answers to labels."""
