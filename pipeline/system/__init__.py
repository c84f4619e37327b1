"""What a run needs of the operating system: files, locks, threads, memory, signals and clocks."""
