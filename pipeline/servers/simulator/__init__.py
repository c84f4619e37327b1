"""An endpoint that only pretends, to rehearse a job for free."""
