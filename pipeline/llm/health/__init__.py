"""Whether the endpoint is up, and what follows if it is not."""
