"""Adapters: from transitions to residual weights, one file each, behind one interface."""

from .base import ADAPTERS, Adaptation, Adapter, make_adapter

__all__ = ["ADAPTERS", "Adaptation", "Adapter", "make_adapter"]
