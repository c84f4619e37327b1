"""The chat completions API as a server speaks it: shared by the embedded model and the simulator."""
