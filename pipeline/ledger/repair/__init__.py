"""Verifying a ledger's file, and building a new one from the intact answers in a damaged one."""
