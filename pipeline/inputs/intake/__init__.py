"""Input of every format but Parquet: it comes in once, as a Parquet copy."""
