"""Adapters: from transitions to residual weights, one file each, behind one interface."""

from .base import Adaptation, Adapter
from .registry import ADAPTERS, META_TRAINED, REGISTRY, make_adapter

__all__ = ["ADAPTERS", "META_TRAINED", "REGISTRY", "Adaptation", "Adapter", "make_adapter"]
