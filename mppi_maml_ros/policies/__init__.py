"""Policies that are learned by gradients of their returns, for batches of tasks and of trajectories."""
