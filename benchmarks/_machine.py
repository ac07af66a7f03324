"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numba
import numpy as np
import torch


def machine() -> dict:
    """The processor, how busy the machine is, and the versions that matter for speed."""
    info = Path("/proc/cpuinfo")
    fields = dict.fromkeys(("model name", "cpu family", "model"), "")
    if info.exists():
        for line in reversed(info.read_text().splitlines()):
            name, _, value = line.partition(":")
            if name.strip() in fields:
                fields[name.strip()] = value.strip()
    return {
        "cpu": fields["model name"] or platform.processor(),
        "family": f"{fields['cpu family']}/{fields['model']}",
        "cores": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
    }
