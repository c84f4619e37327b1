"""Servers of our own on loopback: the embedded model and the simulator."""
