"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def machine() -> dict:
    """The processor, how busy the machine is, and the versions that matter for speed."""
    info = Path("/proc/cpuinfo")
    fields = dict.fromkeys(("model name", "cpu family", "model"), "")
    if info.exists():
        for line in reversed(info.read_text().splitlines()):
            name, _, value = line.partition(":")
            if name.strip().lower() in fields:  # a Raspberry Pi writes Model, and means the board
                fields[name.strip().lower()] = value.strip()
    return {
        "cpu": fields["model name"] or fields["model"] or platform.processor() or platform.machine(),
        "family": f"{fields['cpu family']}/{fields['model']}",
        "cores": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "numba": _version("numba"),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
