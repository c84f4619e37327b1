"""Tables in memory: `classify` labels a frame or a list of texts with the same engine and ledger as a run."""
