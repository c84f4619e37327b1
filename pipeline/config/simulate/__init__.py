"""The section `simulate`: its settings, the faults that there are, and how latencies are written."""
