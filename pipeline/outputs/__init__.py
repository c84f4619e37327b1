"""Write the output: label columns, parts, one atomic publication, counts for the report."""
