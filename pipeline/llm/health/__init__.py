"""Whether the endpoint answers, and what follows if it does not."""
