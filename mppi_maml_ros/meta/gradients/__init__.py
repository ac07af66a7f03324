"""Gradients of the inner and the outer loop, over batches of tasks."""
