"""Labels that an earlier config has found, in place of answers: whose rows, under which audit, and what that says."""
