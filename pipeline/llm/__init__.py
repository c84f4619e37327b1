"""The way from a prompt to a paid answer: requests are built, paced, sent, read and retried."""
