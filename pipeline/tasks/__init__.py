"""What we ask, and what an answer means: pure functions from row to prompt and from answer to labels."""
