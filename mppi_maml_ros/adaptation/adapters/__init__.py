"""Adapters: from transitions to residual weights, one file each, behind one interface."""

from .base import Adaptation, Adapter
from .registry import ADAPTERS, META_TRAINED, make_adapter

__all__ = ["ADAPTERS", "META_TRAINED", "Adaptation", "Adapter", "make_adapter"]
