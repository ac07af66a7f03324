"""Write docs/performance.md from the JSON files of the benchmarks.

python benchmarks/report.py bench_report --out docs/performance.md
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

HEAD = """# Performance

Made by `benchmarks/report.py` from what `make bench` measures (`docs/results`; the widths by
`benchmarks/width.py`). Milliseconds belong to the machine and to what else it did; ratios hold across
machines, and `benchmarks/check.py` fails when one of those in `benchmarks/reference.json` falls by more than
a third.
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, all but the first column to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def measured_on(results: dict) -> str:
    """The machine in a line."""
    m = results["machine"]
    load = f"load average {m['load'][0]:g} at the start" if "load" in m else ""
    load += ", shared with other work" if m.get("load", [0.0])[0] > m["cores"] else ""
    versions = f"Python {m['python']}, torch {m['torch']}, numpy {m['numpy']}"
    return f"Measured on {m['cores']} cores of {m['cpu']} ({versions}), {load}.\n"


def mppi(results: dict) -> str:
    """The control step beside pytorch_mppi."""

    def rows(source, key):
        return [
            [
                row["model"],
                f"{row['K']} x {row['N']}",
                *(f"{row['ours'][k]:.2f}" for k in (key, "p95_ms", "p99_ms")),
                *(f"{row['pytorch_mppi'][k]:.1f}" for k in (key, "p95_ms", "p99_ms")),
                f"**{row['ratio']:.1f}**",
            ]
            for row in source
        ]

    head = ["model", "K x N", "ours", "p95", "p99", "pytorch_mppi", "p95", "p99", "ratio"]
    text = f"""## Control step

One whole step (sample, roll out, score, average) beside pytorch_mppi with the same model, K, N and cost, in
turns in one process. First and sixth column: median of process CPU time [ms]; p95 and p99: wall time [ms].
{measured_on(results)}
One thread:

{table(head, rows(results["rows"], "cpu_ms"))}"""
    if results.get("two_threads"):
        text += f"""
Two torch threads, wall time throughout. This package's kernels use one thread in either case: a second
one only pays while nothing else runs, and beside a busy process it stalls.

{table(head, rows(results["two_threads"], "p50_ms"))}"""
    return text


def critics(results: dict) -> str:
    """The control step with critics beside the bare one."""
    rows = [
        [
            row["model"],
            f"{row['K']} x {row['N']}",
            row["critics"],
            *(f"{row[k]:.2f}" for k in ("cpu_ms", "p50_ms", "p95_ms")),
            f"**{row['to_bare']:.2f}**",
        ]
        for row in results["critics"]
    ]
    beside = ", ".join(f"{row['ratio']:.0f} x at {row['K']} x {row['N']}" for row in results["rows"])
    head = ["model", "K x N", "critics", "CPU", "wall", "p95", "to the bare step"]
    return f"""## Critics

Whole steps in turns in one process and thread; medians of thread CPU time and of wall time [ms]. Seven:
obstacles, goal, goal_angle, path_align, path_follow, path_angle and prefer_forward with their defaults, of
which those of the goal are silent far from it; temperature {results["temperature"]:g} where none is said.
On the filled map {100 * results["filled"]:.0f} % of the cells cost something. Rollouts that already cost too
much to matter are left out, the more the lower the temperature; the rows without that are the worst case.
pytorch_mppi takes {beside} as long with these costs, kinematics. {measured_on(results)}
{table(head, rows)}"""


def width(results: dict) -> str:
    """Accuracy against width."""
    rows = []
    for row in results["rows"]:
        (_, both), (_, alone) = row["loss"]["physics+maml"], row["loss"]["maml"]
        rows.append(
            ["-".join(map(str, row["hidden"])), f"{both:.2f}", f"{alone:.2f}", f"{row['step_cpu_ms']:.2f}"]
        )
    head = ["hidden layers", "loss above the physics layer", "loss of the network alone", "control step [ms]"]
    return f"""## How wide the network has to be

Every width is meta-trained alike ({results["iterations"]} iterations, seed {results["seed"]}) and judged on
worlds that it was not trained on: mean square error after adaptation, in units of what there is to learn
(below 1 is better than no network; the physics layer leaves little, and at so few iterations noise weighs
more than that). Control step: median CPU time, 1000 x 30. {measured_on(results)}
{table(head, rows)}
The default is one layer of 32.
"""


def adaptation(results: dict) -> str:
    """Gradient steps and adapters."""
    rows = []
    for row in results["gradient_steps"]:
        cpu = [f"{way['cpu_ms']:.1f}" for way in row["ways"].values()]
        name = f"{'-'.join(map(str, row['hidden']))} {row['activation']}"
        rows.append([name, str(row["rows"]), *cpu, f"{row['ratio_numpy']:.2f}", f"{row['ratio_torch']:.1f}"])
    head = ["network", "rows", *results["gradient_steps"][0]["ways"], "by hand / ours", "torch / ours"]
    adapters = [
        [r["adapter"], str(r["rows"]), *(f"{r[k]:.2f}" for k in ("cpu_ms", "p50_ms", "p95_ms", "p99_ms"))]
        for r in results["adapters"]
    ]
    return f"""## Adaptation

Restore the meta-learned weights and take 100 gradient steps on the whole batch; median CPU time [ms], one
thread, in turns. `numpy by hand` is back-propagation in preallocated arrays without clipping or checks.
{measured_on(results)}
{table(head, rows)}
One adaptation of each adapter with the packaged meta-model [ms]; CPU: median of process CPU time:

{table(["adapter", "rows", "CPU", "p50", "p95", "p99"], adapters)}"""


def sampling(results: dict) -> str:
    """Ways to sample at equal milliseconds."""
    budgets = sorted({r["budget_ms"] for r in results["at_budget"]})
    references = list(dict.fromkeys(r["reference"] for r in results["at_budget"]))
    ways = list(dict.fromkeys(r["way"] for r in results["at_budget"]))
    found = {(r["reference"], r["way"], r["budget_ms"]): r for r in results["at_budget"]}

    def cell(r):
        relative = "" if math.isnan(r["relative"]) else f" ({100 * (r['relative'] - 1):+.0f} %)"
        return "" if math.isnan(r["cost"]) else f"{r['cost']:.2f}{relative}"

    rows = [[way, *(cell(found[ref, way, b]) for ref in references for b in budgets)] for way in ways]
    head = ["way", *(f"{ref}, {b:g} ms" for ref in references for b in budgets)]
    return f"""## Samples

Closed-loop cost [1/s] at the same CPU time a control step, and relative to plain Gaussian noise. The robot
is deterministic and the controller knows its model exactly, so that the sampler alone makes the
difference; mean of {results["seeds"]} sampler seeds, {results["duration"]:g} s each. {measured_on(results)}
{table(head, rows)}
![Closed-loop cost against milliseconds of each way to sample](images/sampling.png)
"""


def latency(results: dict) -> str:
    """End to end over DDS."""
    rows = []
    for name, r in results["cases"].items():
        pairs = [
            f"{r[key]['p50']:.1f} / {r[key]['p99']:.1f}"
            for key in ("tick_to_command_ms", "odometry_to_command_ms", "odometry_age_ms", "step_ms")
        ]
        memory = r["memory_mb"]
        rows.append(
            [name, *pairs, f"{r['late_periods']} of {r['periods']}"]
            + [f"{memory['first']:.0f} to {memory['last']:.0f}"]
        )
    head = [
        "case", "tick to cmd_vel", "odometry to cmd_vel", "age of odometry", "step", "late periods",
        "memory [MB]",
    ]  # fmt: skip
    return f"""## End to end

The installed nodes as processes of their own, {results["duration"]:g} s a case; median / p99 [ms], from the
control tick, and from the stamp of the odometry that it used, to the arrival of `cmd_vel` in another
process. Late: longer than 1.2 periods. Memory: resident, of the controller, first and last second.
{measured_on(results)}
{table(head, rows)}"""


def attempt(results: dict) -> str:
    """Attempts to adapt beside the control step."""
    rows = [
        [r["adapter"], *(f"{r[k]:.2f}" for k in ("attempt_ms", "attempt_p95_ms", "control_step_ms"))]
        + [f"**{r['ratio']:.1f}**", f"{1e3 * r['odometry_ms']:.0f}"]
        for r in results["attempts"]
    ]
    head = ["adapter", "attempt", "p95", "control step", "ratio", "a sample of odometry [µs]"]
    return f"""## An attempt to adapt

From the detection of change to the last test of the guard, with a full buffer, beside a control step of the
default residual (1000 x 30), in turns; CPU time [ms], median of {results["attempts"][0]["attempts"]} attempts
(`python benchmarks/attempt.py`). {measured_on(results)}
{table(head, rows)}"""


def node_cpu(results: dict) -> str:
    """What the nodes cost while nobody listens."""

    def cell(runs: list[dict], node: str) -> str:
        if node not in runs[0]:
            return ""
        percent = sorted(run[node]["percent"] for run in runs)
        spread = f"{percent[0]:.1f} to {percent[-1]:.1f}" if len(percent) > 1 else f"{percent[0]:.1f}"
        return f"{spread} % ({max(run[node]['memory_mb'] for run in runs):.0f} MB)"

    nodes = ("mppi_controller", "adaptation", "dynamic_world")
    rows = [[name, *(cell(runs, node) for node in nodes)] for name, runs in results["cases"].items()]
    runs = len(next(iter(results["cases"].values())))
    spread = f"; least and most of {runs} runs" if runs > 1 else ""
    return f"""## What the nodes cost

CPU time of each process with all its threads, the kernel's share included, in percent of a core, and resident
memory, over {results["duration"]:g} s of driving a figure of eight{spread}. Defaults
but for the rates: the controller's, and the odometry's. Nobody listens, so that no status, path or
diagnostics are made but the status that `adaptation` hears (`python benchmarks/node_cpu.py`).
{measured_on(results)}
{table(["case", *nodes], rows)}"""


def tick(results: dict) -> str:
    """A control period taken apart."""
    parts = {name: row for name, row in results["parts"].items() if row is not None}
    rows = [
        [name.replace("- ", "· "), *(f"{row[k]:.0f}" for k in ("p50_us", "p95_us"))]
        for name, row in parts.items()
    ]
    return f"""## Where a control period goes

Thread CPU time [µs] of each part of the controller's node with defaults on a figure of eight, the default
residual serving, in real time, so that caches are as cold as on a robot (`python benchmarks/tick.py`); parts
stand below what calls them. {measured_on(results)}
{table(["part", "median", "p95"], rows)}"""


def gpu(results: dict) -> str:
    """Control steps and meta-training on a CUDA device."""
    steps = [
        [
            row["model"],
            f"{row['samples']} x {row['steps']}",
            *(f"{row['ms'][name]['p50_ms']:.2f} ({row['ms'][name]['p99_ms']:.2f})" for name in row["ms"]),
            f"{row['largest_difference']:.0e}",
        ]
        for row in results["control_step"]
    ]
    training = [
        [row["trainer"], str(row["tasks"]), *(f"{row['ms'][d]:.1f}" for d in ("cpu", "cuda"))]
        + [f"**{row['ms']['cpu'] / row['ms']['cuda']:.1f}**"]
        for row in results["meta_training"]
    ]
    m = results["machine"]
    return f"""## On CUDA

`device: cuda` of the controller rolls networks out in one captured graph; `mppi-maml meta-train` takes
`--device cuda`. It pays for wide networks and many samples, not for the default residual. Whole steps, wall
time, median (p99) [ms], beside pytorch_mppi on the same device, and how far the chosen sequences of the two
backends differ [m/s, rad/s]: `python benchmarks/gpu.py`, {results["device"]}, {m["cores"]} cores of
{m["cpu"]}, torch {m["torch"]}; one thread.

{table(["model", "K x N", "compiled", "cuda", "pytorch_mppi, cuda", "difference"], steps)}
An iteration of meta-training at the guide's size [ms], simulation of its robots included:

{table(["trainer", "tasks", "cpu", "cuda", "ratio"], training)}"""


SECTIONS = {
    "mppi": mppi, "critics": critics, "width": width, "gpu": gpu,
    "adaptation": adaptation, "attempt": attempt, "sampling": sampling, "latency": latency,
    "node_cpu": node_cpu, "tick": tick,
}  # fmt: skip


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", default="docs/performance.md", type=click.Path(dir_okay=False, path_type=Path))
def main(folder: Path, out: Path) -> None:
    """Write the page from the JSON files in FOLDER."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        file = folder / f"{name}.json"
        if file.exists():
            parts.append(section(json.loads(file.read_text())))
    out.write_text("\n".join(parts))
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
