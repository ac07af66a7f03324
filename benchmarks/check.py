"""Fail when a benchmark's ratio fell well below the committed one; ratios hold on any machine, times do not.

python benchmarks/mppi.py --json mppi.json
python benchmarks/check.py mppi.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

REFERENCE = Path(__file__).with_name("reference.json")


def ratios(results: dict) -> dict[str, float]:
    """The ratios in the output of ``mppi``, ``critics``, ``adaptation`` or ``attempt.py``, by name."""
    found = {}
    for row in results.get("rows", ()):
        if "ratio" in row:
            found[f"{row['model']}, {row['K']} x {row['N']}"] = row["ratio"]
    for row in results.get("critics", ()):
        if row["critics"].startswith("seven"):
            name = f"{row['model']}, {row['K']} x {row['N']}, bare against {row['critics']}"
            found[name] = 1.0 / row["to_bare"]
    for row in results.get("gradient_steps", ()):
        name = f"{'-'.join(map(str, row['hidden']))} {row['activation']}, {row['rows']} rows"
        for other in ("numpy", "torch"):
            found[f"100 SGD steps against {other}, {name}"] = row[f"ratio_{other}"]
    for row in results.get("attempts", ()):
        found[f"control step against an attempt of {row['adapter']}"] = 1.0 / row["ratio"]
    return found


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--tolerance", default=0.35, show_default=True, help="share of a ratio that may be lost")
@click.option("--update", is_flag=True, help="take these ratios for the reference")
def main(files: tuple[Path, ...], tolerance: float, update: bool) -> None:
    """Compare the ratios in FILES with the committed ones."""
    now: dict[str, float] = {}
    for file in files:
        now |= ratios(json.loads(file.read_text()))
    reference = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    if update:
        reference |= {name: round(value, 3) for name, value in now.items()}
        REFERENCE.write_text(json.dumps(dict(sorted(reference.items())), indent=1) + "\n")
        click.echo(f"wrote {len(now)} ratios to {REFERENCE}")
        return
    lost = {
        name: (value, reference[name])
        for name, value in now.items()
        if name in reference and not value >= (1.0 - tolerance) * reference[name]
    }
    compared = sum(name in reference for name in now)
    for name, (value, was) in lost.items():
        click.echo(f"slower: {name}: {value:.2f} x, was {was:.2f} x", err=True)
    click.echo(
        f"{compared} ratios compared, {len(lost)} of them more than {tolerance:.0%} below the reference"
    )
    if lost or not compared:
        sys.exit(1)


if __name__ == "__main__":
    main()
