"""Rows go out: columns, parts, one atomic publish, a report."""
