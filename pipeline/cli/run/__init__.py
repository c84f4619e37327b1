"""`run`: run the job, and print how it went, its closing lines and its first rows."""
