"""A request is built, paced, sent, retried and read."""
