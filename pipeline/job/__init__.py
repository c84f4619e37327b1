"""Everything that is known about a job before its first row is read, and the record of its runs."""
