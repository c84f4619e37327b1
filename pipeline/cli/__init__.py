"""The command line: argv in; text, one JSON line and an exit status out. It has no rules of its own."""
