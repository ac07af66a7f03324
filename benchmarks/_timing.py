"""Timing of functions in turns, so that their ratios hold on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def measure_together(
    functions: dict[str, Callable[[], object]], seconds: float, least: int = 10, most: float = 10.0
) -> dict[str, dict[str, float]]:
    """Call the functions in turns.

    Args:
        functions: by name, without arguments.
        seconds: wall time for each.
        least: calls of each, however long they take;
        most: unless they take this many times ``seconds``: two torch threads beside a busy process
            may need seconds for what takes milliseconds.

    Returns:
        By name: median of process CPU time ``cpu_ms``, median, p95 and p99 of wall time
        ``p50_ms``, ``p95_ms``, ``p99_ms`` [ms], and the number of calls ``count``.
    """
    times: dict[str, tuple[list, list]] = {name: ([], []) for name in functions}
    started = time.perf_counter()
    for _ in range(3):
        for function in functions.values():
            if time.perf_counter() - started < seconds:
                function()
    spent = dict.fromkeys(functions, 0.0)

    def enough(name: str) -> bool:
        count = len(times[name][0])
        return spent[name] >= seconds and (count >= least or (count > 0 and spent[name] >= most * seconds))

    while not all(enough(name) for name in functions):
        # The one that has had the least time is next: all see the machine in the same state.
        name = min(spent, key=spent.get)
        cpu, wall = time.process_time(), time.perf_counter()
        functions[name]()
        times[name][0].append(1e3 * (time.process_time() - cpu))
        times[name][1].append(1e3 * (time.perf_counter() - wall))
        spent[name] += 1e-3 * times[name][1][-1]
    result = {}
    for name, (cpu_times, wall_times) in times.items():
        p50, p95, p99 = (float(p) for p in np.percentile(wall_times, [50, 95, 99]))
        cpu_ms = float(np.median(cpu_times))
        result[name] = {
            "cpu_ms": cpu_ms,
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "count": len(cpu_times),
        }
    return result


def measure_in_rounds(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Call every function once a round, in any order: each begins with the caches that another left.

    Args:
        functions: by name, without arguments, of one thread.
        rounds: after two that do not count.

    Returns:
        By name [ms]: median of thread CPU time ``cpu_ms``; of wall time median ``p50_ms`` and ``p95_ms``.
    """
    cpu, wall = np.zeros((2, rounds + 2, len(functions)))
    rng, each = np.random.default_rng(0), list(functions.values())
    for r in range(rounds + 2):
        for i in rng.permutation(len(each)):
            began, started = time.thread_time_ns(), time.perf_counter_ns()
            each[i]()
            cpu[r, i] = 1e-6 * (time.thread_time_ns() - began)
            wall[r, i] = 1e-6 * (time.perf_counter_ns() - started)
    rows = zip(
        functions, np.median(cpu[2:], axis=0), np.percentile(wall[2:], [50, 95], axis=0).T, strict=True
    )
    return {
        name: {"cpu_ms": float(median), "p50_ms": float(p50), "p95_ms": float(p95)}
        for name, median, (p50, p95) in rows
    }
