"""Critics in compiled code, asked about a group of rollouts while it lies in the cache.

A judge is a compiled function of one critic. Kernels call it by its address, so that they are compiled
once and for all critics, those of others included. All judges have these arguments:

    poses: (5, N, W) float32, rows X, Y, YAW, V and OMEGA after each of N steps, see RolloutRequest; of the
        steps before the last, only the rows are there that the critic reads.
    at: the first column of ``poses`` to be judged.
    commands: (N, 2, K) float32; ``first``: the column that belongs to the first of ``poses``.
    target: (N, 3) float32, wanted poses after each step.
    table: (R, C) float32, of :meth:`.critics.base.CompiledCritic.table`.
    numbers: float32, of :meth:`.critics.base.CompiledCritic.prepare`.
    out: (GROUP,) float32, to be filled with how bad so many rollouts are.

Nothing that critics say is below 0. So a rollout needs no judge once it costs so much more than the best one
that its weight will be nothing, and the others close up to full groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.kernels.calls import address_of, caller, grid_at, line_at
from ..core.kernels.lanes import copy_column
from ..core.kernels.simd import GROUP, LANES, load, store
from ..core.types import Float32

if TYPE_CHECKING:
    from .critics.base import CompiledCritic, Situation

X, Y, YAW, V, OMEGA, COMMANDS = range(6)

_floats = types.float32
SIGNATURE = types.void(
    _floats[:, :, ::1], types.intp, _floats[:, :, ::1], types.intp,
    _floats[:, ::1], _floats[:, ::1], _floats[::1], _floats[::1],
)  # fmt: skip
_call = caller(SIGNATURE)
_NO_TABLE = np.zeros((1, 1), dtype=np.float32)


class Judge:
    """A function that numba compiles when it is first needed; see the module for its arguments."""

    def __init__(self, function: Callable[..., None]) -> None:
        self._compiled = njit(cache=True, error_model="numpy")(function)

    @cached_property
    def address(self) -> int:
        """Of its machine code."""
        return address_of(self._compiled, SIGNATURE)


class Bench(NamedTuple):
    """A :class:`Jury` as kernels take it: what its critics say, and the memory they work in.

    Attributes:
        target: see the module.
        calls: judge, table (address, rows, columns) and numbers (address, count) of each critic, (C, 6); a
            judge at 0 is silent.
        weights: factor and power of each critic, (C, 2).
        quick: how many of them are asked about every rollout.
        reads, margin: see :class:`Jury`.
        few, few_commands, lanes: rollouts that are put aside, and which these are.
        out, total: of a group.
    """

    target: Float32
    calls: NDArray[np.int64]
    weights: Float32
    quick: int
    reads: NDArray[np.bool_]
    margin: float
    few: Float32
    few_commands: Float32
    lanes: NDArray[np.int64]
    out: Float32
    total: Float32


@njit(cache=True, error_model="numpy")
def _judge(poses, at, commands, first, bench, begin, end):  # type: ignore[no-untyped-def]  # numba
    """Add to the total (GROUP,) what some of the critics say of so many rollouts."""
    calls, weights, out, total = bench.calls, bench.weights, bench.out, bench.total
    for i in range(begin, end):
        if calls[i, 0] == 0:
            continue
        table = grid_at(calls[i, 1], calls[i, 2], calls[i, 3])
        numbers = line_at(calls[i, 4], calls[i, 5])
        _call(calls[i, 0], poses, at, commands, first, bench.target, table, numbers, out)
        for j in range(0, GROUP, LANES):
            value = weights[i, 0] * load(out, j)
            cost = value
            for _ in range(1, int(weights[i, 1])):
                cost = cost * value
            store(total, j, load(total, j) + cost)


@njit(cache=True, error_model="numpy")
def _judge_waiting(costs, bench, lowest, waiting):  # type: ignore[no-untyped-def]  # numba
    """Judge the rollouts that were put aside; returns the lowest cost so far."""
    lanes, total = bench.lanes, bench.total
    for k in range(waiting):
        total[k] = costs[lanes[k]]
    _judge(bench.few, 0, bench.few_commands, 0, bench, bench.quick, len(bench.calls))
    for k in range(waiting):
        costs[lanes[k]] = total[k]
        if total[k] < lowest:
            lowest = total[k]
    return lowest


@njit(cache=True, error_model="numpy")
def judge_group(  # type: ignore[no-untyped-def]  # numba
    poses, at, commands, first, costs, bench, lowest, waiting
):
    """Judge GROUP rollouts; put those that matter aside for critics that take long, where they are few.

    Args:
        poses, at, commands, first: see the module.
        costs: (K,), added to in place; after the group at its end, nothing waits.
        bench: see there.
        lowest: cost of those judged so far; ``waiting``: how many are put aside.

    Returns:
        ``lowest`` and ``waiting`` from now on.
    """
    quick, reads, total = bench.quick, bench.reads, bench.total
    steps, width, samples = poses.shape[1], poses.shape[2], commands.shape[2]
    for j in range(0, GROUP, LANES):
        store(total, j, load(costs, first + j))
    _judge(poses, at, commands, first, bench, 0, quick)
    for j in range(0, GROUP, LANES):
        store(costs, first + j, load(total, j))
    if not reads.any():
        return lowest, waiting
    limit, promising = lowest + bench.margin, 0
    for j in range(GROUP):
        promising += total[j] <= limit
    crowded = 2 * promising >= GROUP
    if crowded:
        _judge(poses, at, commands, first, bench, quick, len(bench.calls))
        for j in range(GROUP):
            costs[first + j] = total[j]
            if total[j] < lowest:
                lowest = total[j]
    for j in range(0 if crowded else GROUP):
        if not costs[first + j] <= limit:
            continue
        for row in range(5):
            begin = row * steps + (0 if reads[row] else steps - 1)
            count = (row + 1) * steps - begin
            copy_column(
                poses, begin * width + at + j, width, bench.few, begin * GROUP + waiting, GROUP, count
            )
        if reads[COMMANDS]:
            copy_column(commands, first + j, samples, bench.few_commands, waiting, GROUP, 2 * steps)
        bench.lanes[waiting] = first + j
        waiting += 1
        if waiting == GROUP:
            lowest, waiting = _judge_waiting(costs, bench, lowest, waiting), 0
    if waiting and first + GROUP == samples:
        lowest, waiting = _judge_waiting(costs, bench, lowest, waiting), 0
    return lowest, waiting


@njit(cache=True, error_model="numpy")
def _judge_kept(poses, commands, costs, bench):  # type: ignore[no-untyped-def]  # numba
    """Judge whole batches, (5, N, K); K is a whole number of groups."""
    lowest, waiting = np.inf, 0
    for first in range(0, poses.shape[2], GROUP):
        lowest, waiting = judge_group(poses, first, commands, first, costs, bench, lowest, waiting)


class Jury:
    """Some critics with the memory that their judges work in.

    Args:
        critics: those that are asked about.
        steps: of the rollouts, N.

    Attributes:
        margin: above the lowest cost, from where on costs do not matter; infinite: all do.
        target: (N, 3) float32, see the module.
        reads: which rows are read before the last step, and whether commands, by critics that take long.
        poses: room for a group of rollouts, (5, N, GROUP) float32.
    """

    def __init__(self, critics: Sequence[CompiledCritic], steps: int) -> None:
        self.critics = sorted(critics, key=_takes_long)
        self.margin = np.inf
        self.target: Float32 = np.zeros((steps, 3), dtype=np.float32)
        self.reads = np.zeros(6, dtype=np.bool_)
        self.poses, self._few = np.zeros((2, 5, steps, GROUP), dtype=np.float32)
        self._few_commands = np.zeros((steps, 2, GROUP), dtype=np.float32)
        self._lanes = np.zeros(GROUP, dtype=np.int64)
        self._out, self._total = np.zeros((2, GROUP), dtype=np.float32)
        self._quick = len(critics) - sum(map(_takes_long, critics))
        self._calls = np.zeros((len(critics), 6), dtype=np.int64)
        self._weights = np.zeros((len(critics), 2), dtype=np.float32)
        self._numbers: list[Float32] = []
        for row, weight, critic in zip(self._calls, self._weights, self.critics, strict=True):
            weight[:] = critic.cost_weight, critic.cost_power
            row[1:4] = _NO_TABLE.ctypes.data, *_NO_TABLE.shape
            numbers = np.zeros(critic.size(steps), dtype=np.float32)
            self._numbers.append(numbers)
            row[4:] = numbers.ctypes.data, len(numbers)
            critic.judge.address  # noqa: B018 - is compiled now, not in a control step
        self._active: list[bool] = []
        self._tables = [_NO_TABLE] * len(critics)
        self._with_table = [i for i, critic in enumerate(self.critics) if critic.has_table]

    def prepare(self, situation: Situation) -> bool:
        """Let the critics look at what is the same for all rollouts; returns whether any has a say."""
        active = [
            critic.cost_weight > 0.0 and critic.prepare(situation, numbers)
            for critic, numbers in zip(self.critics, self._numbers, strict=True)
        ]
        if active != self._active:
            self._active = active
            self.reads[:] = False
            for i, critic in enumerate(self.critics):
                self._calls[i, 0] = critic.judge.address if active[i] else 0
                if active[i] and i >= self._quick:
                    self.reads[list(critic.reads)] = True
        for i in self._with_table:
            if active[i]:
                table = self.critics[i].table(situation)
                if table is not self._tables[i]:
                    if table.dtype != np.float32 or table.ndim != 2 or not table.flags.c_contiguous:
                        name = type(self.critics[i]).__name__
                        raise InvalidValueError(
                            f"the table of {name} must be C-contiguous float32 in two dimensions, "
                            f"got {table.dtype} of shape {table.shape}"
                        )
                    self._tables[i] = table
                    self._calls[i, 1:4] = table.ctypes.data, *table.shape
        return any(active)

    def bench(self) -> Bench:
        """What the kernels take."""
        return Bench(
            self.target, self._calls, self._weights, self._quick, self.reads, self.margin,
            self._few, self._few_commands, self._lanes, self._out, self._total,
        )  # fmt: skip

    def judge(self, poses: Float32, commands: Float32, costs: Float32) -> None:
        """Add to the costs (K,) of rollouts that are kept, (5, N, K)."""
        _judge_kept(poses, commands, costs, self.bench())


def _takes_long(critic: CompiledCritic) -> bool:
    """Whether a critic looks at poses all along the way."""
    return any(row != COMMANDS for row in critic.reads)
