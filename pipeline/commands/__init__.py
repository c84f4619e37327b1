"""The commands other than `run`: each module returns a value, which `cli` prints."""
