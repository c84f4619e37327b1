"""Whether a run is done in time."""
