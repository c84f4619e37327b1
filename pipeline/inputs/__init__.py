"""Rows come in: Parquet and CSV, a file, a folder or a glob, checked before the first request and read in chunks."""
