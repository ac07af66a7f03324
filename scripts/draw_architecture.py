"""Draws the rooms of the package and their imports, read from the code, into docs/images/architecture.svg.

``python scripts/draw_architecture.py`` draws; with ``--check`` it only says, by its exit code, whether the
picture is that of the code. Line counts may differ there.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

NAME = "mppi_maml_ros"
ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

# From the bottom up, each level from left to right as it is drawn. A room imports from below, and from
# its own level where no circle arises.
LEVELS = (
    ("core",),
    ("references", "safety", "dynamics", "simulation"),
    ("mppi", "weights"),
    ("ros", "control", "adaptation", "bags"),
    ("meta", "policies", "images"),
    ("nodes", "experiments", "literature", "doctor"),
    ("calibration", "system"),
    ("warm_up", "cli"),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
KNOWS_ROS = frozenset({"ros", "nodes", "system"})

WIDTH, BOX, HEIGHT, GAP, MARGIN = 960, 150, 50, 46, 24


def imported(file: Path) -> Iterator[str]:
    """Dotted, absolute names of what a file imports, those within functions and TYPE_CHECKING included."""
    folders = (NAME, *file.relative_to(ROOT / NAME).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(folders[: len(folders) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of(file: Path) -> str:
    """The room that a file stands in."""
    return file.relative_to(ROOT / NAME).parts[0].removesuffix(".py")


def files() -> dict[str, list[Path]]:
    """Files by room."""
    found: dict[str, list[Path]] = {room: [] for room in LEVEL}
    for file in sorted((ROOT / NAME).rglob("*.py")):
        if room_of(file) in found:
            found[room_of(file)].append(file)
    return found


def lines_of(file: Path) -> int:
    """How many lines a file has."""
    return len(file.read_text(encoding="utf-8").splitlines())


def imports() -> dict[str, set[str]]:
    """Rooms that each room imports."""
    graph: dict[str, set[str]] = {}
    for room, members in files().items():
        names = (name.split(".") for file in members for name in imported(file))
        targets = {parts[1] for parts in names if parts[0] == NAME and len(parts) > 1}
        graph[room] = (targets & set(LEVEL)) - {room}
    return graph


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the imports of what is also reached through another room."""

    def below(room: str) -> set[str]:
        return graph[room].union(*(below(target) for target in graph[room]))

    return {
        room: {target for target in targets if not any(target in below(other) for other in targets)}
        for room, targets in graph.items()
    }


def places() -> dict[str, tuple[float, float]]:
    """Upper left corner of each box."""
    found = {}
    for level, rooms in enumerate(LEVELS):
        step = BOX + 44
        left = (WIDTH - step * len(rooms) + 44) / 2
        top = MARGIN + (len(LEVELS) - 1 - level) * (HEIGHT + GAP)
        found |= {room: (left + step * i, top) for i, room in enumerate(rooms)}
    return found


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:  # neighbours
        side = BOX if x2 > x1 else 0
        return f"M{x1 + side:g},{y1 + HEIGHT / 2:g} L{x2 + BOX - side:g},{y2 + HEIGHT / 2:g}"
    x1, x2, y1 = x1 + BOX / 2, x2 + BOX / 2, y1 + HEIGHT
    x1, x2 = x1 + 0.12 * (max(min(x2 - x1, 400), -400)), x2 - 0.12 * (max(min(x2 - x1, 400), -400))
    bend = 0.5 * (y2 - y1)
    return f"M{x1:g},{y1:g} C{x1:g},{y1 + bend:g} {x2:g},{y2 - bend:g} {x2:g},{y2 - 2:g}"


def picture() -> str:
    """The picture as SVG."""
    at, members = places(), files()
    height = 2 * MARGIN + len(LEVELS) * (HEIGHT + GAP) - GAP + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#56657a"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for level in range(0, len(LEVELS), 2):
        top = MARGIN + (len(LEVELS) - 1 - level) * (HEIGHT + GAP) - GAP / 2
        out.append(f'<rect y="{top:g}" width="{WIDTH}" height="{HEIGHT + GAP}" fill="#f4f6f9"/>')
    for room, targets in reduced(imports()).items():
        for target in sorted(targets):
            way = _arrow(at[room], at[target])
            out.append(
                f'<path d="{way}" fill="none" stroke="#56657a" stroke-width="1.3" marker-end="url(#tip)"/>'
            )
    for room, (x, y) in at.items():
        count = sum(map(lines_of, members[room]))
        fill, edge = ("#fdebd3", "#c9812b") if room in KNOWS_ROS else ("#dceaf8", "#2b6cb0")
        out += [
            f'<rect x="{x:g}" y="{y:g}" width="{BOX}" height="{HEIGHT}" rx="7" '
            f'fill="{fill}" stroke="{edge}"/>',
            f'<text x="{x + BOX / 2:g}" y="{y + 21:g}" text-anchor="middle" font-size="16" '
            f'font-weight="bold" fill="#1d2733">{room}</text>',
            f'<text x="{x + BOX / 2:g}" y="{y + 40:g}" text-anchor="middle" font-size="12" '
            f'fill="#56657a" class="count">{count} lines</text>',
        ]
    out.append(
        f'<text x="{WIDTH / 2}" y="{height - 10}" text-anchor="middle" font-size="12" fill="#56657a">'
        "An arrow is an import; what is reached through another room is not drawn. Orange: knows ROS.</text>"
    )
    return "\n".join([*out, "</svg>"]) + "\n"


def without_counts(svg: str) -> str:
    """The picture, but for the numbers of lines."""
    return re.sub(r'class="count">\d+', 'class="count">', svg)


def is_current() -> bool:
    """Whether the picture shows the rooms and imports of the code."""
    return PICTURE.is_file() and without_counts(PICTURE.read_text()) == without_counts(picture())


def main() -> int:
    """Draw or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="draw nothing; fail where the code has changed")
    if parser.parse_args().check:
        if is_current():
            return 0
        print(f"{PICTURE.relative_to(ROOT)} is not of this code: run scripts/draw_architecture.py")
        return 1
    PICTURE.write_text(picture())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
