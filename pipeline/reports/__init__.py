"""The report of a run: its facts in, a page of HTML out. Imports the template engine and the charts' only when it is made."""
