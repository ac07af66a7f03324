"""Policies that follow a reference with a robot they are not told of, and what it takes to learn them."""

from __future__ import annotations

import attrs
import numpy as np
import torch

from ..core.errors import InvalidValueError
from ..meta import loop
from ..meta.loop import Controls
from .acting import FLAT, RobotPolicy
from .config import PolicyConfig
from .environments.base import Environment
from .environments.tracking import ReferenceTracking
from .gmps import GMPS, GMPSConfig, make_expert
from .maml import PolicyMAML, PolicyTasks
from .recurrent import RL2, RecurrentConfig

NAMES = ("trpo", "maml_rl", "rl2", "gmps_policy")
ROBOT = 5  # numbers that tell the expert which robot it has
TRIAL = 200  # steps of RL²'s, 10 s
BASE = PolicyConfig(
    hidden=(64, 64), activation="tanh", iterations=300, task_batch_size=20, trajectories=10, inner_lr=0.1,
    evaluate_every=100,
)  # fmt: skip
GUIDED = GMPSConfig(
    hidden=(64, 64), activation="tanh", iterations=100, task_batch_size=20, trajectories=10, inner_lr=0.1,
    evaluate_every=100, meta_lr=3e-3, least_deviation=-2.0,
)  # fmt: skip
EXPERT = 150  # iterations
RECURRENT = RecurrentConfig(
    hidden=48, iterations=200, task_batch_size=64, meta_lr=3e-3, epochs=3, minibatches=4, gae=0.9,
    discount=0.95, evaluate_every=100,
)  # fmt: skip


def train(name: str, seed: int = 0, scale: float = 1.0, controls: Controls | None = None) -> RobotPolicy:
    """Learn a policy; ``trpo`` is one for all robots, the others adapt.

    Args:
        name: of NAMES.
        scale: share of the iterations, in (0, 1].

    Raises:
        InvalidValueError: an unknown name, or a scale out of range.
        Cancelled: see :class:`..meta.loop.Controls`.
    """
    if name not in NAMES:
        raise InvalidValueError(f"policy must be one of {', '.join(NAMES)}, got {name!r}")
    if not 0.0 < scale <= 1.0:
        raise InvalidValueError(f"scale must be in (0, 1], got {scale}")
    controls = controls or Controls()

    def iterations(count: int) -> int:
        return max(1, round(scale * count))

    if name == "rl2":
        environment = ReferenceTracking(TRIAL)
        config = attrs.evolve(RECURRENT, seed=seed, iterations=iterations(RECURRENT.iterations))
        recurrent = RL2(config, environment)
        loop.run(name, recurrent, PolicyTasks(environment), controls)
        tensors = {key: value.numpy().copy() for key, value in recurrent.parameters.views().items()}
        notes = {"inner_lr": 0.0, "trajectories": 1, "horizon": TRIAL}
        return RobotPolicy(name, tensors, {**notes, "env_steps": recurrent.env_steps, "seed": seed})
    environment, spent = ReferenceTracking(), 0
    if name == "gmps_policy":
        guided = attrs.evolve(GUIDED, seed=seed, iterations=iterations(GUIDED.iterations))
        expert = make_expert(guided, environment, iterations(EXPERT), ROBOT)
        loop.run(f"{name}-expert", expert, PolicyTasks(expert.environment), controls)
        spent = expert.env_steps
        learner: PolicyMAML = GMPS(guided, environment, expert)
    else:
        steps = 0 if name == "trpo" else BASE.inner_steps
        settings = attrs.evolve(BASE, seed=seed, inner_steps=steps, iterations=iterations(BASE.iterations))
        learner = PolicyMAML(settings, environment)
    loop.run(name, learner, PolicyTasks(environment), controls)
    return _kept(name, learner, learner.parameters.flat, spent + learner.env_steps)


def _kept(name: str, learner: PolicyMAML, flat: torch.Tensor, env_steps: int) -> RobotPolicy:
    c = learner.config
    notes = {
        "widths": learner.policy.widths, "activation": c.activation, "seed": c.seed, "env_steps": env_steps,
        "inner_lr": c.inner_lr if c.inner_steps else 0.0, "trajectories": 2 * c.trajectories,
        "horizon": learner.environment.horizon,
    }  # fmt: skip
    return RobotPolicy(name, {FLAT: flat.numpy().copy()}, notes)


def adapted(policy: RobotPolicy, environment: Environment, rng: np.random.Generator) -> RobotPolicy:
    """After one step of REINFORCE on trajectories of one task; itself where it does not adapt so.

    Args:
        environment: of the robot that is to be driven; of its tasks it is given none.
    """
    notes = policy.notes
    if not notes["inner_lr"]:
        return policy
    config = attrs.evolve(BASE, hidden=tuple(notes["widths"][1:-1]), activation=notes["activation"])
    learner = PolicyMAML(config, environment)
    flat = torch.from_numpy(np.array(policy.tensors[FLAT]))
    with torch.no_grad():
        done = learner.adapt(np.zeros((1, ROBOT)), [notes["inner_lr"]], notes["trajectories"], rng, flat)
    return attrs.evolve(policy, tensors={FLAT: done.adapted[0].numpy()})
