"""Whether labels are right, and whether tonight's differ from last night's: pure functions of counts and columns."""
