"""Input that is a Delta table: the live files of one version, read as the table has them."""
