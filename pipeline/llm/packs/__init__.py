"""Several rows in one request: how many, which ones, and whose share of its cost is which."""
