"""`init`: from a table to a job that runs: look at the table, propose, write the config."""
