"""A damaged ledger file becomes a sound one."""
