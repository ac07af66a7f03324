"""What can be compared, by name: how a model drives, what adapts it and how often."""

from __future__ import annotations

import copy
import time

import attrs
import numpy as np

from ...adaptation.adapters import ADAPTERS, make_adapter
from ...adaptation.adapters.base import Adapter
from ...adaptation.adapters.mb import MBAdapter, dynamic_evaluation
from ...adaptation.attempt import Attempt, Decision
from ...adaptation.online import OnlineAdaptation, OnlineConfig
from ...control.step import Mppi
from ...core.errors import InvalidValueError
from ...core.types import Odometry
from ...dynamics.buffer import BufferConfig, TransitionBuffer
from ...dynamics.residual import ResidualWeights
from ...mppi.rollouts.base import RolloutModel
from ...simulation.firmware_world import FirmwareWorld
from ...simulation.seed_world import SEED_GAIN
from ...simulation.world import World
from ...weights.meta_model import MetaModel
from ..oracle import Oracle
from .offline import OFFLINE, Library
from .policies import POLICIES, policy_controller

KINEMATIC, ORACLE, ADAPTIVE = "kinematic", "oracle", "adaptive"
NOMINAL_ORACLE = "oracle_nominal"
POOLED, EVALUATED = "mb", "mb_de"  # trained on all worlds at once; and with dynamic evaluation
NOMINAL_FRICTION = 0.1  # [1/s] that the model ``dynamic`` believes in, as the guide's does
BASELINES = {
    **dict.fromkeys(("rls", "ekf", "l1", "grbal", "rebal", EVALUATED), 0.05),
    "online_learner": 2.0,
}
"""Run as published, without the guard: updated every so many seconds and believed at once."""


def model_names() -> tuple[str, ...]:
    """All models that can be compared; every registered adapter is one of them."""
    fixed = (KINEMATIC, "dynamic", ORACLE, NOMINAL_ORACLE, *OFFLINE, ADAPTIVE)
    return (*fixed, *(name for name in ADAPTERS if name not in fixed), POOLED, EVALUATED, *POLICIES)


def usual_models() -> tuple[str, ...]:
    """All but those that mostly repeat another: the nominal oracle and the adapter that is the default."""
    return tuple(n for n in model_names() if n not in (NOMINAL_ORACLE, OnlineConfig().adapter))


@attrs.frozen(eq=False)
class Contender:
    """Further arguments of :func:`closed_loop.drive`.

    Attributes:
        model: what the rollouts use, at first; None for kinematics.
        adaptation: what changes it; None: nothing does.
        true_state: whether the controller sees the true state.
        controller: drives in place of MPPI; None for MPPI.
    """

    model: ResidualWeights | RolloutModel | None = None
    adaptation: Recorded | Unguarded | None = None
    true_state: bool = False
    controller: Mppi | None = None

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts to adapt, in order."""
        return self.adaptation.attempts if self.adaptation is not None else []


def contender(
    name: str, world: World, seed: int, model_dt: float, meta: MetaModel, library: Library
) -> Contender:
    """The model called ``name``, for one run.

    Args:
        world: that it will drive in; only oracles look at it.
        seed: of the world; offline models were trained on worlds of the same seed.
        model_dt: step of the rollouts [s].
        meta: what adapters start from.
        library: of offline models; trained there when missing.
    """
    if name == KINEMATIC:
        return Contender()
    if name in POLICIES:
        return Contender(controller=policy_controller(name, world, seed))
    if name == "dynamic":
        rate = SEED_GAIN + NOMINAL_FRICTION
        return Contender(
            ResidualWeights.first_order((1.0 / rate,) * 2, (SEED_GAIN / rate,) * 2, model_dt=model_dt)
        )
    if name == ORACLE:
        return Contender(Oracle(world), true_state=True)
    if name == NOMINAL_ORACLE and isinstance(world, FirmwareWorld):
        return Contender(Oracle(world, frozen=True), true_state=True)  # nothing has changed at the start
    if name == NOMINAL_ORACLE:
        nominal = copy.copy(world)
        nominal._disturbances = ()  # the copy is read once, before anything moves
        return Contender(Oracle(nominal, frozen=True), true_state=True)
    if name in OFFLINE:
        return Contender(library.models(world.name, seed)[name])
    if name == POOLED:
        return Contender(MBAdapter(meta).start())
    config = OnlineConfig() if name in (ADAPTIVE, EVALUATED) else OnlineConfig(adapter=name)
    if name not in BASELINES:
        return Contender(adaptation=Recorded(meta, config))
    if name == EVALUATED:
        adapter: Adapter = dynamic_evaluation(meta)
    else:
        adapter = make_adapter(name, meta, config.sgd)
    return Contender(adapter.start(), Unguarded(adapter, meta, config.buffer_size, BASELINES[name]))


class Recorded(OnlineAdaptation):
    """Keeps what a report shows of each attempt."""

    def __init__(self, meta: MetaModel, config: OnlineConfig) -> None:
        super().__init__(meta, config)
        self.attempts: list[Attempt] = []

    def attempt(self) -> Attempt:
        self.attempts.append(super().attempt())
        return self.attempts[-1]


class Unguarded:
    """An identifier without the guard: all that it says is served. As :class:`OnlineAdaptation` to a run.

    Args:
        adapter: the identifier.
        meta: gives the time step and the delay taps.
        size: newest transitions that it is given.
        interval: of attempts; odometry is taken once a step of the model [s].
    """

    def __init__(self, adapter: Adapter, meta: MetaModel, size: int, interval: float) -> None:
        self.adapter = adapter
        self._every, self._taken = round(interval / meta.model_dt), 0
        self.attempts: list[Attempt] = []
        self._buffer = TransitionBuffer(
            BufferConfig(delay_taps=meta.delay_taps, model_dt=meta.model_dt, size=size)
        )

    def add_command(self, stamp: float, command: np.ndarray) -> None:
        """As :meth:`OnlineAdaptation.add_command`."""
        self._buffer.add_command(stamp, command)

    def add_odometry(self, sample: Odometry) -> bool:
        """As :meth:`OnlineAdaptation.add_odometry`; no change is ever detected."""
        self._buffer.add_odometry(sample)
        self._taken += 1
        return False

    @property
    def due(self) -> bool:
        """Whether an attempt is to be made."""
        return self._taken > 1 and (self._taken - 1) % self._every == 0

    def attempt(self) -> Attempt:
        """Adapt to the newest transitions and believe the result."""
        self.attempts.append(self._attempt())
        return self.attempts[-1]

    def _attempt(self) -> Attempt:
        if not len(self._buffer):
            return Attempt(Decision.SKIPPED_TOO_FEW_SAMPLES, "no transition yet")
        started = time.perf_counter()
        try:
            adaptation = self.adapter.adapt(self._buffer.latest())
        except InvalidValueError as error:
            return Attempt(Decision.REJECTED_NOT_FINITE, str(error))
        ms = 1e3 * (time.perf_counter() - started)
        return Attempt(Decision.ACCEPTED, "not judged", adaptation.weights, adaptation, adapt_ms=ms)

    def installed(self) -> None:
        """As :meth:`OnlineAdaptation.installed`."""
