"""The commands as people see them: text on stderr, one JSON line on stdout.

A module for each, so that a command loads what it needs and no more.
"""

from pipeline.slim import lean_pyarrow

lean_pyarrow()
