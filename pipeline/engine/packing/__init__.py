"""Rows that are asked together, and whether their labels stand it."""
