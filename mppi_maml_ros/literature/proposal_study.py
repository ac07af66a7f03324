"""MPPI with a learned policy's sequence among its samples: what it is worth by the number of samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import attrs
import numpy as np

from ..core import se2
from ..core.types import VelocityLimits
from ..dynamics.residual import ResidualWeights, step
from ..experiments.comparison.policies import packaged
from ..meta.loop import Controls
from ..mppi.config import MPPIConfig
from ..mppi.controller import MPPIController
from ..mppi.costmap import Costmap
from ..mppi.critics import Scene
from ..mppi.critics.obstacles import Obstacles
from ..policies.environments import tracking
from ..policies.environments.robot import drawn_robots
from ..policies.proposal import PolicyProposal
from .study import Part, Study, report

SAMPLES = (64, 256, 1000)
ROBOTS, STEPS = 100, 40  # at the whole effort; steps of .05 s that are judged
LIMITS = VelocityLimits(vx_max=2.0, vx_min=-2.0, wz_max=2.0, ax_max=100.0, ax_min=-100.0, az_max=100.0)
SETTLED = 20  # steps before the reference jumps
RADIUS, DISC, RESOLUTION = 0.2, 0.25, 0.05  # of the robot and of an obstacle, cell of the grid [m]
ROUNDS = "mppi, 4 rounds"
METHODS = ("mppi", ROUNDS, "mppi+gmps_policy", "mppi+trpo")


@attrs.frozen(eq=False)
class Case:
    """A robot's model, its state, where it is wanted from ``-SETTLED`` steps on, and what stands there."""

    model: ResidualWeights
    start: np.ndarray
    reference: np.ndarray
    settled: int
    scene: Scene


def _robot(rng: np.random.Generator) -> ResidualWeights:
    gain_v, gain_omega, lag_v, lag_omega, late = drawn_robots(rng, 1)[0]
    return ResidualWeights.first_order(
        (lag_v, lag_omega), (gain_v, gain_omega), late * tracking.DT, tracking.DT
    )


def cold(rng: np.random.Generator) -> Case:
    """At rest, up to 1 m off and any way round, and no step before."""
    away = rng.uniform(-1.0, 1.0, 3) * (1.0, 1.0, np.pi)
    return Case(_robot(rng), np.append(away, (0.0, 0.0)), _reference(rng, 0), 0, Scene())


def jump(rng: np.random.Generator) -> Case:
    """On its way, when the reference jumps by up to 1 m and 90 degrees."""
    reference = _reference(rng, SETTLED)
    away = rng.uniform(-1.0, 1.0, 3) * (1.0, 1.0, 0.5 * np.pi)
    here = reference[SETTLED]
    later = se2.compose(se2.compose(here, away), se2.to_body(reference[SETTLED:], here))
    return Case(_robot(rng), np.zeros(5), np.concatenate([reference[:SETTLED], later]), SETTLED, Scene())


def between(rng: np.random.Generator) -> Case:
    """At rest where the reference begins, which then leads through two discs, each a little to one side."""
    reference = _reference(rng, 0)
    cells = int(8.0 / RESOLUTION)
    x, y = (np.indices((cells, cells))[::-1] + 0.5) * RESOLUTION - 4.0
    data = np.zeros((cells, cells), dtype=np.int8)
    for at in (22, 44):
        centre = se2.compose(reference[at], np.array([0.0, rng.uniform(-0.2, 0.2), 0.0]))
        near = np.hypot(x - centre[0], y - centre[1]) < DISC
        data[near & (np.hypot(x, y) > DISC + RADIUS + 0.1)] = 100
    scene = Scene(costmap=Costmap(data, RESOLUTION, (-4.0, -4.0)))
    return Case(_robot(rng), np.zeros(5), reference, 0, scene)


def _reference(rng: np.random.Generator, before: int) -> np.ndarray:
    poses: np.ndarray = tracking.references(rng, (), before + STEPS + MPPIConfig().time_steps + 1)
    return poses


def drive(case: Case, samples: int, seed: int, method: str = "mppi") -> tuple[float, float]:
    """Mean cost of a judged step, and its wall time [ms], median.

    A step costs what the controller's own weights say of distance and heading, and 100 in an obstacle.
    """
    config = MPPIConfig(batch_size=samples, iteration_count=4 if method == ROUNDS else 1)
    policy = method.partition("+")[2]
    critics = () if case.scene.costmap is None else (Obstacles(footprint_radius=RADIUS),)
    proposal = PolicyProposal(packaged(policy)) if policy else None
    controller = MPPIController(config, LIMITS, seed, critics=critics, proposal=proposal)
    state, last, past = case.start, np.zeros(2), np.zeros((8, 2))
    costs, times = [], []
    for k in range(case.settled + STEPS):
        window = case.reference[k : k + config.time_steps + 1].copy()
        window[:, 2] = np.unwrap(window[:, 2])
        began = time.perf_counter()
        last = controller.compute_control(state, window, past, last, case.model, scene=case.scene).command
        times.append(1e3 * (time.perf_counter() - began))
        state = step(case.model, state, last, past[: max(case.model.history, 1)])
        past = np.concatenate([last[None], past[:-1]])
        off = se2.to_body(state[:3], case.reference[k + 1])
        cost = config.position_weight * (off[0] ** 2 + off[1] ** 2) + config.heading_weight * off[2] ** 2
        costs.append(cost + 100.0 * _touches(case.scene.costmap, state))
    return float(np.mean(costs[case.settled :])), float(np.median(times))


def _touches(costmap: Costmap | None, state: np.ndarray) -> bool:
    return costmap is not None and float(costmap.distance_at(*state[:2])) < RADIUS


def _run(
    make: Callable[[np.random.Generator], Case], method: str, seed: int, scale: float, controls: Controls
) -> Part:
    count, values = robots(scale), []
    for i, samples in enumerate(SAMPLES):
        found = []
        for k in range(count):
            case = make(np.random.default_rng([seed, k]))  # the same for all methods
            found.append(drive(case, samples, seed + k, method)[0])
            report(controls, method, i * count + k + 1, len(SAMPLES) * count)
        values.append(np.array(found))
    return Part(SAMPLES, values)


def robots(scale: float) -> int:
    """Cases at a share of the effort."""
    return max(2, round(scale * ROBOTS))


def _study(name: str, title: str, make: Callable[[np.random.Generator], Case]) -> Study:
    return Study(
        name=f"proposal-{name}",
        title=f"MPPI with a policy's proposal: {title}",
        source="after Biased-MPPI, Trevisan and Alonso-Mora, RA-L 2024",
        x="samples",
        value="cost of a step in the first 2 s",
        methods=METHODS,
        run=partial(_run, make),
        iterations=lambda method, scale: len(SAMPLES) * robots(scale),
        published={},
        seeds=(0,),
        notes=(
            f"{make.__doc__} Robots are drawn as those that the policies learned from, and MPPI knows each "
            "exactly. The policy drives this model over the horizon, and what it commands takes the place of "
            "one of the samples."
        ),
    )


STUDIES = (
    _study("cold", "a cold start", cold),
    _study("jump", "a plan that jumps", jump),
    _study("obstacles", "between obstacles", between),
)
