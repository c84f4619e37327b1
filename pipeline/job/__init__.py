"""All that is known before the first row is read, and what a run leaves behind."""
