"""Runs in simulation and their measures: closed loops, comparisons, studies, plots."""
