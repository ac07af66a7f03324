"""The commands that control has published; the ring lives in ``core``, where adaptation shares it."""

from ..core.command_history import CommandHistory

__all__ = ["CommandHistory"]
