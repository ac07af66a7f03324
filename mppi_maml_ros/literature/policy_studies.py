"""Meta-learned policies: returns after gradient steps (Finn et al., ICML 2017, figures 4 and 5)."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from ..meta import loop
from ..meta.loop import Controls
from ..policies.config import PolicyConfig
from ..policies.environments.base import Environment, Informed
from ..policies.environments.cheetah import CheetahDirection, CheetahVelocity
from ..policies.environments.navigation import Navigation
from ..policies.maml import POLICY_TRAINERS, PolicyMAML, PolicyTasks
from .study import Part, Study

STEPS = 3  # of adaptation at test
TEST_TASKS, TEST_SEED = 40, 1
METHODS = ("maml", "maml-reinforce", "fomaml", "anil", "pretrained", "scratch", "oracle")


@attrs.frozen
class Protocol:
    """What tells one family of tasks from another.

    Attributes:
        environment: makes it.
        task_size: of what the oracle is told.
        config: of MAML with TRPO.
        test_trajectories: for each step of adaptation.
        rates: of the first step at test of those that were not trained for one.
        later: shares of it that the steps after it take.
        few: there are so few tasks that a share of the effort is saved on their number alone.
    """

    environment: Callable[[], Environment]
    task_size: int
    config: PolicyConfig
    test_trajectories: int
    rates: dict[str, float]
    later: dict[str, tuple[float, ...]] = {}
    few: bool = False

    def scaled(self, method: str, scale: float) -> PolicyConfig:
        """The settings of a method at a share of the effort, saved on iterations and on tasks alike."""
        c, root = self.config, 1.0 if self.few else scale**0.5
        c = attrs.evolve(
            c, iterations=max(1, round(root * c.iterations)),
            task_batch_size=max(2, round(scale / root * c.task_batch_size)),
        )  # fmt: skip
        if method in ("pretrained", "oracle"):
            c = attrs.evolve(c, inner_steps=0)
        if method in ("maml-reinforce", "pretrained"):
            c = attrs.evolve(c, outer="reinforce")
        return c

    def iterations(self, method: str, scale: float) -> int:
        """Of a training."""
        return 1 if method == "scratch" else self.scaled(method, scale).iterations

    def run(self, method: str, seed: int, scale: float, controls: Controls) -> Part:
        """Train, adapt to the test tasks, and measure."""
        config = attrs.evolve(self.scaled(method, scale), seed=seed)
        environment = self.environment()
        if method == "oracle":
            environment = Informed(environment, self.task_size)
        kind = POLICY_TRAINERS.get(method, PolicyMAML)
        trainer = kind(config, environment)
        if method != "scratch":
            loop.run(method, trainer, PolicyTasks(environment), controls)
        tasks = environment.sample_tasks(np.random.default_rng(TEST_SEED), TEST_TASKS)
        steps = 0 if method == "oracle" else STEPS
        rng = np.random.default_rng([seed, TEST_SEED])
        rate, later = self.rates.get(method), self.later.get(method, (0.5,))
        returns = trainer.returns(tasks, steps, self.test_trajectories, rng, rate, True, later)
        return Part(range(steps + 1), list(returns), trainer.env_steps)


def _study(name: str, title: str, protocol: Protocol, published: dict, notes: str, **more: object) -> Study:
    return Study(
        name=name,
        title=title,
        source="Finn et al., ICML 2017; figures of the authors' result files, 40 test tasks",
        x="gradient steps",
        value="return",
        methods=METHODS,
        run=protocol.run,
        iterations=protocol.iterations,
        published=published,
        notes=notes,
        **more,  # type: ignore[arg-type]
    )


def _published(**methods: tuple[float, ...]) -> dict:
    return {name: dict(enumerate(values)) for name, values in methods.items()}


NAVIGATION = Protocol(
    Navigation,
    2,
    PolicyConfig(),
    40,
    {},
    later=dict.fromkeys(("maml", "maml-reinforce", "fomaml", "anil"), (1 / 3, 1 / 6)),
)
DIRECTION = Protocol(
    CheetahDirection,
    1,
    PolicyConfig(inner_lr=0.1, kl=0.02, gae=0.9),
    20,
    {"pretrained": 0.2, "scratch": 1.0},
    few=True,
)
VELOCITY = Protocol(
    CheetahVelocity, 1, PolicyConfig(inner_lr=0.1, kl=0.01, iterations=475), 20, {"pretrained": 0.02}
)

STUDIES = (
    _study(
        "navigation", "2D navigation", NAVIGATION,
        _published(
            maml=(-40.4, -11.7, -3.33, -3.23), pretrained=(-40.8, -19.7, -11.7, -8.5),
            scratch=(-82.7, -58.0, -53.8, -46.8), oracle=(-2.29,),
        ),
        "The reward is the distance with a minus, as in the authors' program; the paper says its square. "
        "20 trajectories of 100 steps an update in training, 4000 steps at test; rate .5, then a third "
        "and a sixth of it where that was meta-learned (chosen on other tasks than those of the test), else "
        "half of it (the authors: half for all). "
        "The pretrained policy is trained by REINFORCE with Adam, as theirs.",
    ),
    _study(
        "cheetah-direction", "Half-cheetah, direction", DIRECTION,
        _published(
            maml=(-50.7, 293.0, 313.0, 316.0), pretrained=(-43.0, -25.0, -13.0, 20.0),
            scratch=(-36.0, 22.0, 62.0, 86.0), oracle=(443.0,),
        ),
        "Time step .01 s, one step an action, 200 actions; iteration 100, divergence .02. "
        "Lambda of the advantages .9 (the authors: 1, with which a gradient of 20 episodes is mostly noise). "
        "A scale below 1 is fewer tasks an iteration, of which there are two kinds.",
        seeds=(0, 1, 2),
    ),
    _study(
        "cheetah-velocity", "Half-cheetah, velocity", VELOCITY,
        _published(
            maml=(-129.5, -78.6, -66.6, -60.8), pretrained=(-158.0, -135.0, -128.0, -134.0),
            scratch=(-255.0, -254.0, -247.0, -231.0), oracle=(-54.5,),
        ),
        "Time step .01 s, one step an action, 200 actions; velocities from 0 to 2 m/s; iteration 475.",
        seeds=(0,),
    ),
)  # fmt: skip
"""The three families."""
