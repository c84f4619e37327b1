"""Tables in delimited text: CSV and TSV."""
