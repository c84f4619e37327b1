"""Parts of reading Parquet: types, how large rows and pages are, and wide row groups."""
