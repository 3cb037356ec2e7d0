"""Which job is done next, by whom, and who takes over when that one falls silent."""
