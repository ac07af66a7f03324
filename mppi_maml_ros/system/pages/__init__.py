"""The pages for a browser: one look, charts drawn by one script, each page a single file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_FOLDER = Path(__file__).parent


def page(name: str, **parts: str) -> str:
    """The page ``name``.html with the look, the script and ``parts`` in place of their ``{{names}}``."""
    parts |= {file: (_FOLDER / file).read_text(encoding="utf-8") for file in ("look.css", "charts.js")}
    text = (_FOLDER / f"{name}.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{([\w.]+)\}\}", lambda found: parts[found[1]], text)


def to_json(value: Any) -> str:
    """JSON that may stand within a script: floats of five digits, null for those that are not finite."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
