"""`simulate`: its options, what it prints, and how its words on the command line are read."""
