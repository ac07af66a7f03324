"""The recipe of the meta-model: which networks it holds and how each is trained.

This is the one place of these numbers: ``mppi-maml meta-train`` follows it, with the settings of
:class:`config.TrainingConfig` for all networks where a network does not name its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from ..core.tunable import declarations
from .config import TrainingConfig

PHYSICS_TASKS = 3000  # worlds for the physics prior
POOL_TASKS = 1500  # worlds for meta-training
HELD_OUT_TASKS = 200
PHYSICS, LINEAR = "physics", "linear"


@attrs.frozen
class Network:
    """One network of the meta-model.

    Attributes:
        trainer: name of its trainer.
        layer: what it learns above: the physics layer, a linear part of its own, or nothing ("").
        changing: whether its worlds change while they are driven in, see :class:`tasks.Changes`.
        above_noise: how its targets are normalised, see :class:`residual_tasks.ResidualTasks`.
        longer: iterations, as a multiple of those of all.
        online: inner steps that its adapter takes, as a multiple of those in training.
        settings: where it differs from the settings of all.
        extra: what adapting needs besides what its trainer says, by name.
    """

    trainer: str
    layer: str = ""
    changing: bool = False
    above_noise: bool = True
    longer: int = 1
    online: int = 1
    settings: dict = attrs.field(factory=dict)
    extra: dict[str, tuple[float, ...]] = attrs.field(factory=dict)

    def config(self, common: TrainingConfig) -> TrainingConfig:
        """Its settings."""
        most = declarations(TrainingConfig)["iterations"].high or math.inf
        iterations = min(self.longer * common.iterations, most)
        return attrs.evolve(common, **{"iterations": iterations} | self.settings)

    def extras(self, trained: dict) -> dict:
        """What adapting needs besides theta*, from what its trainer says."""
        extra = {name: np.array(value, dtype=np.float32) for name, value in self.extra.items()}
        if self.online == 1:
            return trained | extra
        rate, steps = trained["inner"]
        return trained | extra | {"inner": np.array([rate, self.online * steps], dtype=np.float32)}


ANNEALED = {"outer": "annealed_adam", "meta_lr": 0.01}

RECIPE: dict[str, Network] = {
    "physics+maml": Network("fomaml", layer=PHYSICS, above_noise=False),
    "maml": Network("fomaml", layer=LINEAR, above_noise=False),
    "anil": Network("anil", settings={"inner_lr": 0.05, "inner_steps": 10, "support_size": 100}),
    "meta_sgd": Network("meta_sgd", settings={"inner_lr": 0.01, "inner_steps": 10, "support_size": 100}),
    "alpaca": Network("alpaca", settings={"meta_lr": 3e-3, "support_size": 100}),
    "grbal": Network(
        "grbal",
        changing=True,
        longer=5,
        online=8,
        settings=ANNEALED | {"inner_lr": 0.01, "inner_steps": 20, "support_size": 64, "query_size": 48},
    ),
    "rebal": Network(
        "rebal",
        changing=True,
        longer=5,
        settings=ANNEALED | {"meta_lr": 0.003, "support_size": 32, "query_size": 16},
    ),
    # dynamic: rate and steps of MB+DE, on the window.
    "mb": Network(
        "supervised", longer=5, settings=ANNEALED, extra={"dynamic": (0.001, 40.0), "window": (100.0,)}
    ),
}
"""Networks of the meta-model by the name of the adapter that uses them."""


def chosen(names: Collection[str]) -> dict[str, Network]:
    """The recipe of these networks, in its order.

    Raises:
        InvalidValueError: an unknown name, or none.
    """
    unknown = [name for name in names if name not in RECIPE]
    if unknown or not names:
        raise InvalidValueError(f"networks must be some of {', '.join(RECIPE)}, got {', '.join(names)!r}")
    return {name: network for name, network in RECIPE.items() if name in names}
