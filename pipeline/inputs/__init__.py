"""Read the input: Parquet or CSV, from a file, a folder or a glob, checked before the first request, then in chunks."""
