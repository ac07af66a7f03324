"""Files that appear complete or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_file(path: Path, data: bytes) -> None:
    """All of a file or nothing; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".partial", delete=False) as file:
        partial = Path(file.name)
        file.write(data)
    try:
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def given_file(argument: str, path: str) -> list[str]:
    """The file that an argument names; none where that is empty. For launch files.

    Raises:
        FileNotFoundError: it is not there, which launch_ros only warns of, to start nodes without it.
    """
    if path and not Path(path).is_file():
        raise FileNotFoundError(f"{argument} {path} is no file")
    return [path] if path else []


def write_json(path: Path, data: object) -> None:
    """A JSON file."""
    write_file(path, (json.dumps(data, indent=2) + "\n").encode())


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]], digits: int = 5) -> None:
    """A CSV file with a header; floats with so many significant digits."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.{digits}g}" if isinstance(v, float) else v for k, v in row.items()})
    write_file(path, text.getvalue().encode())
