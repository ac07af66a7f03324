"""Tasks from bases with firmware, alone or among wheel-level worlds."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.errors import InvalidValueError
from ...simulation.commands import tracking_commands
from ...simulation.firmware import simulate_firmware
from ...simulation.firmware_parameters import DELAY
from ...simulation.firmware_worlds import FAMILIES, TRAINING_FAMILIES, draw_bases
from .worlds import TaskPool, WorldTasks, transitions_of

PHASES = 4  # of a task that changes, at most
SHORTEST_PHASE = 20  # steps


def _trainable(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    wrong = [name for name in value if name not in FAMILIES or not FAMILIES[name].trainable]
    if wrong or not value:
        raise InvalidValueError(
            f"families must be of {', '.join(TRAINING_FAMILIES)}, others are kept for testing, got {value}"
        )


@attrs.frozen
class FirmwareTasks:
    """Bases of the families that may be trained on, and wheel-level worlds for the rest.

    Attributes:
        families: names in ``simulation.firmware_worlds.TRAINING_FAMILIES``, drawn with equal chances.
        share: of the tasks that are such bases, in [0, 1].
        worlds: the other tasks; also delay taps, time step, length and commands of all.

    Raises:
        InvalidValueError: a family that is unknown or kept for testing, or a share out of range.
    """

    families: tuple[str, ...] = attrs.field(default=TRAINING_FAMILIES, converter=tuple, validator=_trainable)
    share: float = attrs.field(default=0.5)
    worlds: WorldTasks = attrs.field(factory=WorldTasks)

    @share.validator
    def _a_share(self, _: object, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise InvalidValueError(f"share must be in [0, 1], got {value}")

    @property
    def delay_taps(self) -> int:
        """As in the residual."""
        return self.worlds.delay_taps

    @property
    def model_dt(self) -> float:
        """As in the residual [s]."""
        return self.worlds.model_dt

    def pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """See :class:`TaskDistribution`; the same seed gives the same pool, another one other bases."""
        return self._pool(seed, tasks, held_out, changing=False)

    def changing_pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """As :meth:`pool`; what the family of a base draws is drawn anew up to three times."""
        return self._pool(seed, tasks, held_out, changing=True)

    def prior_pool(self, seed: int, tasks: int) -> TaskPool:
        """As :meth:`pool`."""
        return self.pool(seed, tasks)

    def describe(self) -> dict:
        """The attributes."""
        return {"kind": "firmware", **attrs.asdict(self)}

    def _pool(self, seed: int, tasks: int, held_out: bool, changing: bool) -> TaskPool:
        bases = int(round(self.share * tasks))
        rng = np.random.default_rng([seed, 1])
        parts = []
        if bases:
            parts.append(self._bases(rng, bases, PHASES if changing else 1))
        if bases < tasks:
            make = self.worlds.changing_pool if changing else self.worlds.pool
            parts.append(make(seed, tasks - bases, held_out))
        order = rng.permutation(tasks)
        columns = ("inputs", "residuals", "clean_inputs", "clean_residuals", "delays")
        joined = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in columns}
        noise = np.mean((joined["residuals"] - joined["clean_residuals"]) ** 2, axis=(0, 1))
        return TaskPool(**joined, noise=noise)

    def _bases(self, rng: np.random.Generator, bases: int, phases: int) -> TaskPool:
        w = self.worlds
        parameters = draw_bases(rng, self.families, bases, phases)
        lengths = rng.integers(SHORTEST_PHASE, max(w.steps // 2, SHORTEST_PHASE + 1), (bases, phases - 1))
        starts = np.concatenate([np.zeros((bases, 1), dtype=int), np.cumsum(lengths, axis=1)], axis=1)
        commands = tracking_commands(rng, bases, w.steps, w.model_dt, w.limits)
        commands = commands * rng.uniform(0.3, 1.0, size=(bases, 1, 1))
        seeds = rng.integers(0, 2**31, size=bases)
        true, observed = simulate_firmware(parameters, commands, w.model_dt, seeds, starts=starts)
        inputs, residuals = transitions_of(observed, commands, w.delay_taps, w.model_dt)
        clean_inputs, clean_residuals = transitions_of(true, commands, w.delay_taps, w.model_dt)
        delays = parameters[:, 0, DELAY : DELAY + 2].mean(axis=1)
        noise = np.mean((residuals - clean_residuals) ** 2, axis=(0, 1))
        return TaskPool(inputs, residuals, clean_inputs, clean_residuals, delays, noise)
