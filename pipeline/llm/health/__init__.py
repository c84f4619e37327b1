"""Whether the endpoint is available, and what follows if it is not."""
