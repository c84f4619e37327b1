"""Files, locks, threads, memory and clocks: the operating system, as a run needs it."""
