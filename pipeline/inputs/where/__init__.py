"""Choose rows by `input.where`: an SQL expression that is checked against the schema, and the rows that match it."""
