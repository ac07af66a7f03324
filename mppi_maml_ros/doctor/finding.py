"""What the doctor says of one concern."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs


class Level(str, enum.Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"  # worth knowing; nothing has to be done before the robot drives
    WRONG = "wrong"


@attrs.frozen
class Finding:
    """One sentence.

    Attributes:
        level: how much it matters.
        about: what was looked at, in a word.
        says: what was found.
        do: what to do or type about it; empty where there is nothing.
    """

    level: Level
    about: str
    says: str
    do: str = ""


def ok(about: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, about, says)


def note(about: str, says: str, do: str = "") -> Finding:
    """Worth knowing."""
    return Finding(Level.NOTE, about, says, do)


def wrong(about: str, says: str, do: str) -> Finding:
    """To be mended before the robot drives."""
    return Finding(Level.WRONG, about, says, do)


def any_wrong(findings: Iterable[Finding]) -> bool:
    """Whether something has to be mended."""
    return any(finding.level is Level.WRONG for finding in findings)
