"""Adapters: from transitions to residual weights, one file each, behind one interface."""

from .base import Adapter, Adaptation, make_adapter, ADAPTERS

__all__ = ["ADAPTERS", "Adaptation", "Adapter", "make_adapter"]
