"""Output that is a Delta table: the rows that changed are appended to it, in one commit."""
