"""What was commanded and what odometry said of it: all that a fit looks at."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import numpy as np

from ..core.angles import difference
from ..core.errors import InvalidValueError
from ..core.types import Array, Odometry
from ..safety.odometry_consistency import contradictions

FEWEST = 100  # samples of odometry that a fit needs
LONGEST_GAP = 0.5  # [s] between two of them; what lies around a longer one is fitted apart


@attrs.frozen(eq=False)
class Record:
    """Commands and odometry on one clock, both in the order of their stamps.

    Attributes:
        command_stamps: when each was given [s], (M,).
        commands: (v, omega) [m/s, rad/s], each holds until the next, (M, 2).
        stamps: of odometry [s], (N,).
        poses: (x, y, yaw) [m, m, rad], (N, 3).
        twists: (v, omega) as odometry says, (N, 2).
        held_out_from: stamp from which on the drive is left out of the fit, to be predicted [s].
    """

    command_stamps: Array
    commands: Array
    stamps: Array
    poses: Array
    twists: Array
    held_out_from: float = np.inf

    @classmethod
    def of(
        cls,
        commands: Iterable[tuple[float, Array]],
        samples: Iterable[Odometry],
        held_out_from: float = np.inf,
    ) -> Record:
        """From (stamp [s], (v, omega)) and samples of odometry.

        Raises:
            InvalidValueError: too few of either.
        """
        told, seen = list(commands), list(samples)
        if not told or len(seen) < FEWEST:
            raise InvalidValueError(
                f"a fit needs a command and at least {FEWEST} odometry messages, "
                f"got {len(told)} and {len(seen)}"
            )
        return cls(
            np.array([stamp for stamp, _ in told]),
            np.array([command for _, command in told], dtype=float).reshape(-1, 2),
            np.array([sample.stamp for sample in seen]),
            np.array([sample.pose for sample in seen]),
            np.array([sample.twist for sample in seen]),
            held_out_from,
        )

    @property
    def period(self) -> float:
        """Median time between two samples [s]."""
        return float(np.median(np.diff(self.stamps)))

    @property
    def rates(self) -> Array:
        """Mean (v, omega) between each sample and the one before, by the poses; (N, 2), the first is 0."""
        dt = np.maximum(np.diff(self.stamps), 1e-9)
        moved, turned = np.diff(self.poses[:, :2], axis=0), difference(self.poses[1:, 2], self.poses[:-1, 2])
        yaw = self.poses[:-1, 2] + 0.5 * turned
        ahead = moved[:, 0] * np.cos(yaw) + moved[:, 1] * np.sin(yaw)
        out = np.zeros((len(self.stamps), 2))
        out[1:] = np.column_stack([ahead, turned]) / dt[:, None]
        return out

    def untrue_twists(self) -> dict[int, str]:
        """Axes on which the twist contradicts the poses, with a sentence each."""
        samples = (Odometry(*sample) for sample in zip(self.stamps, self.poses, self.twists, strict=True))
        found = contradictions(samples, list(zip(self.command_stamps, self.commands, strict=True)))
        return {axis: str(finding) for axis, finding in found.items()}
