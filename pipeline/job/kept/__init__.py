"""What is kept of runs: how far this one is, and the figures of those before."""
