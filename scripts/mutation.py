"""Mutation run: change the checks one by one and see whether a test notices.

    .venv/bin/python scripts/mutation.py --out docs/results/mutation.md

Each mutant is one small change of the syntax tree: a comparison shifted or turned round, `and` for `or`,
a condition that always or never holds, a check or call taken out, a sign, a number. It is tested in a
forked child, which imports the changed module in place of the one on disk and runs the tests of that
file until the first fails. No file is written. A test that takes too long kills a mutant as well.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "mppi_maml_ros"
ARTIFACT = ("test/core/test_artifact.py", "test/core/test_artifact_faults.py")
ADAPTATION = ("test/adaptation/test_guard.py", "test/adaptation/test_online.py")
TARGETS = {
    "safety/checks.py": ("test/safety/test_odometry_checks.py",),
    "safety/watchdog.py": ("test/safety/test_odometry_watchdog.py",),
    "safety/limiter.py": ("test/safety/test_velocity_limiter.py",),
    "safety/codes.py": ("test/safety/test_fault_codes.py", "test/ros/test_status_constants.py"),
    "core/artifact.py": (*ARTIFACT, "test/weights/test_meta_model.py"),
    "weights/meta_model.py": ("test/weights/test_meta_model.py",),
    "weights/slot.py": ("test/weights/test_slot.py",),
    "adaptation/guard.py": ADAPTATION,
    "adaptation/answers.py": ("test/adaptation/test_answers.py",),
    "adaptation/drive_guard.py": ("test/adaptation/test_drive_guard.py",),
    "adaptation/evidence.py": ("test/adaptation/test_evidence.py",),
    "dynamics/buffer.py": ("test/dynamics/test_buffer.py",),
    "control/pace.py": ("test/control/test_pace.py",),
    "control/progress.py": ("test/control/test_goal_progress.py",),
    "control/timed_path_follower.py": ("test/control/test_timed_paths.py",),
    "control/breakaway.py": ("test/control/test_breakaway.py",),
    "control/timing.py": ("test/control/test_timing.py",),
    "safety/blocked.py": ("test/safety/test_blocked.py",),
    "safety/deaf.py": ("test/safety/test_deaf.py",),
    "safety/frames.py": ("test/ros/test_conversions.py", "test/safety/test_odometry_checks.py"),
    "safety/publishers.py": ("test/safety/test_publishers.py",),
    "safety/twist_source.py": ("test/safety/test_twist_source.py",),
    "safety/odometry_consistency.py": ("test/safety/test_odometry_consistency.py",),
}

_TURNED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
_CALLS = {"min": "max", "max": "min", "all": "any", "any": "all"}
_KEPT = tuple(f"{PACKAGE}.{name}" for name in ("dynamics", "core.se2", "core.angles", "core.errors"))
_ANNOTATIONS = ("annotation", "returns", "decorator_list")


def _nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """(parent, field, index) of every node that may change; no text and no type hint."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field in _ANNOTATIONS or isinstance(parent, (ast.JoinedStr, ast.FormattedValue)):
                continue
            if isinstance(value, list):
                for index, child in enumerate(value):
                    if isinstance(child, ast.AST):
                        yield parent, field, index
            elif isinstance(value, ast.AST):
                yield parent, field, None


def _changes(node: ast.AST, parent: ast.AST, field: str) -> Iterator[tuple[str, ast.AST]]:
    """What to put in place of ``node``, with its name."""
    if isinstance(node, ast.Compare):
        for position, operator in enumerate(node.ops):
            for other in _TURNED.get(type(operator), ()):
                changed = copy.deepcopy(node)
                changed.ops[position] = other()
                yield "comparison", changed
    elif isinstance(node, ast.BoolOp):
        changed = copy.deepcopy(node)
        changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", changed
        for position in range(len(node.values)):
            rest = node.values[:position] + node.values[position + 1 :]
            yield "part of a condition", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "sign", node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _OTHER:
        if not isinstance(node.left, (ast.JoinedStr, ast.List)):
            yield "arithmetic", ast.BinOp(node.left, _OTHER[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "boolean", ast.Constant(not node.value)
        elif isinstance(node.value, int):
            yield "number", ast.Constant(node.value + 1)
        elif isinstance(node.value, float):
            yield "number", ast.Constant(2.0 * node.value if node.value else 1.0)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        yield "function", ast.Call(ast.Name(_CALLS[node.func.id], ast.Load()), node.args, node.keywords)
    elif isinstance(node, ast.stmt):
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        ):
            yield "statement taken out", ast.Pass()
        elif isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
            yield "nothing returned", ast.Return(ast.Constant(None))
    if field == "test" and not isinstance(node, ast.Constant):
        yield "check that never holds", ast.Constant(False)
        if not isinstance(parent, ast.While):
            yield "check that always holds", ast.Constant(True)


def mutants(source: str) -> Iterator[tuple[int, str, str, ast.Module]]:
    """(line, kind, text of the change, changed tree) of every mutant."""
    tree = ast.parse(source)
    for parent, field, index in list(_nodes(tree)):
        value = getattr(parent, field)
        node = value if index is None else value[index]
        for kind, other in _changes(node, parent, field):
            if index is None:
                setattr(parent, field, other)
            else:
                value[index] = other
            changed = ast.fix_missing_locations(copy.deepcopy(tree))
            if index is None:
                setattr(parent, field, node)
            else:
                value[index] = node
            line = getattr(node, "lineno", 0)
            yield line, kind, f"{ast.unparse(node)[:90]} -> {ast.unparse(other)[:90]}", changed


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, name: str, path: Path, code):
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name, path=None, target=None):
        if name == self._name:
            return importlib.util.spec_from_file_location(name, self._path, loader=self)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self._code, module.__dict__)


def _child(name: str, path: Path, tree: ast.Module | None, tests: list[str]) -> int:
    """Exit code of the tests, run in this process with the changed module."""
    import pytest
    from hypothesis import settings

    os.setsid()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    settings.register_profile("mutation", database=None, derandomize=True, deadline=None)
    settings.load_profile("mutation")
    if tree is not None:
        sys.meta_path.insert(0, _Changed(name, path, compile(tree, str(path), "exec")))
    return int(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]))


def _module(target: str) -> str:
    return f"{PACKAGE}." + target.removesuffix(".py").replace("/", ".")


def outcome(target: str, tree: ast.Module | None, timeout: float) -> str:
    """killed, survived, or timeout."""
    name = _module(target)
    tests = [test for test in TARGETS[target] if (ROOT / test).exists()]
    pid = os.fork()
    if pid == 0:
        code = 3
        with contextlib.suppress(BaseException):
            code = _child(name, ROOT / PACKAGE / target, tree, tests)
        os._exit(code)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "survived" if status == 0 else "killed"
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def _report(rows: list[tuple], survivors: list[tuple], out: Path | None) -> float:
    """Write what is known so far; returns the share that was killed."""
    total, survived = sum(row[1] for row in rows), len(survivors)
    share = 1.0 - survived / total
    lines = ["| file | mutants | killed | killed by time | survived | killed |", "|---|---|---|---|---|---|"]
    for target, count, killed, late, alive in rows:
        lines.append(f"| {target} | {count} | {killed} | {late} | {alive} | {1 - alive / count:.1%} |")
    lines.append(f"| all | {total} | | | {survived} | **{share:.1%}** |")
    text = (
        "# Mutation run\n\n"
        "Made by `scripts/mutation.py`, which says what a mutant is. Killed: a test fails with it.\n\n"
        + "\n".join(lines)
        + "\n\n## Survivors\n\n"
        + "".join(f"- `{target}:{line}` {kind}: `{change}`\n" for target, line, kind, change in survivors)
    )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    else:
        print(text)
    return share


def main() -> int:
    """Run every mutant; 0 when enough were killed."""
    from rich.console import Console
    from rich.progress import track

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help="files below the package")
    parser.add_argument("--out", type=Path, help="report, Markdown")
    parser.add_argument("--at-least", type=float, default=0.9, help="share that must be killed")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    # What every child needs and no mutant touches is imported once.
    import hypothesis.strategies  # noqa: F401
    import pytest  # noqa: F401
    import safetensors.numpy  # noqa: F401

    import mppi_maml_ros.mppi.rollouts.compiled  # noqa: F401

    changed = {_module(target) for target in arguments.targets}
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        if not name.startswith(_KEPT) or name in changed:
            del sys.modules[name]

    rows, survivors, started = [], [], time.time()
    for target in arguments.targets:
        begun = time.monotonic()
        if outcome(target, None, 300.0) != "survived":
            console.print(f"the tests of {target} fail without any change")
            return 2
        baseline = time.monotonic() - begun
        found = Counter()
        todo = list(mutants((ROOT / PACKAGE / target).read_text()))
        for line, kind, text, tree in track(todo, f"{target:<24}", console=console):
            result = outcome(target, tree, 20.0 + 5.0 * baseline)
            found[result] += 1
            if result == "survived":
                survivors.append((target, line, kind, text))
        rows.append((target, len(todo), found["killed"], found["timeout"], found["survived"]))
        console.print(f"{target}: {len(todo)} mutants, {found['survived']} survive")
        share = _report(rows, survivors, arguments.out)
    print(f"{share:.1%} killed in {time.time() - started:.0f} s")
    return 0 if share >= arguments.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
