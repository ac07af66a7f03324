"""Recorded runs: what can be read of a bag, on one clock, and whether it may be learned from."""
