"""The student in a run: it is taught, audited and certified before the rows are labelled."""
