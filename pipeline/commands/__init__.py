"""What each command but `run` finds out; every module returns a value, `cli` prints it."""
