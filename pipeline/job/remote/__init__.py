"""State that outlives its disk: it lies in an object store, and work is done in a copy of it on this machine."""
