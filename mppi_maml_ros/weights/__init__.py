"""Weights at rest and in service: the meta-model and the slot that a control step reads."""
