"""What the journey needs to run on this machine."""
