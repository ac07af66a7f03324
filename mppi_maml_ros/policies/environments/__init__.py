"""Families of tasks, each stepping all tasks and trajectories at once."""
