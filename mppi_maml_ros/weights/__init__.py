"""Weights at rest and in service: the artifact file and the slot that a control step reads."""
