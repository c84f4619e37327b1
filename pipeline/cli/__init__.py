"""The commands as people see them: argv in; text, one JSON line and an exit status out. No rules of its own."""
