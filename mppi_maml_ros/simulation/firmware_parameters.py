"""What makes one base with firmware differ from another: the parameters of :mod:`.firmware`.

The default record is a brisk, well-tuned base without noise. Kernels read the flat vector of
:meth:`FirmwareParameters.as_vector`; ``INDEX`` and the module constants are indices into it.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from ..core.validators import within


def _parameter(default: float, low: float, high: float, unit: str = "") -> Any:
    return attrs.field(
        default=default,
        converter=float,
        validator=within(low, high, unit),
        metadata={"low": low, "high": high, "unit": unit},
    )


_NEVER = 1000.0  # a limit that is never met


@attrs.frozen
class FirmwareParameters:
    """One base; v is the forward axis, omega the yaw axis. See :func:`.firmware.advance` for the equations.

    Attributes:
        delay_v, delay_omega: from a command to its axis [s].
        quantum_v, quantum_omega: step that commands are rounded to; 0: none [m/s, rad/s].
        gain_v, gain_omega: speed reached per speed commanded.
        dead_v, dead_omega: a standing axis ignores commands up to this [m/s, rad/s].
        hysteresis: share of the dead band that a moving axis still loses, and below which it stops.
        speed_up_v, slow_down_v: ramp of the setpoint away from zero and towards it [m/s^2].
        speed_up_omega, slow_down_omega: the same of the yaw axis [rad/s^2].
        frequency_v, frequency_omega: natural frequency of the speed loop [rad/s].
        damping_v, damping_omega: its damping ratio.
        torque_v, torque_omega: largest acceleration that the motors give [m/s^2, rad/s^2].
        axle_offset: centre of mass ahead of the axle [m].
        turn_loss: share of the yaw rate lost in the tightest turns; turn_knee: curvature at which half of
            that is lost [1/m]; understeer: further loss with speed [s^2/m^2].
        scrub: yaw rate that a standing skid-steered base must be told to break loose [rad/s].
        icr: centre of rotation ahead of the tracked point [m]; in a turn it slips sideways.
        caster_kick, caster_drag: acceleration by a caster that stands across [rad/s^2, m/s^2].
        caster_trail: between the caster's pivot and its contact [m].
        caster_start: angle of the caster at the start, 0 trailing in forward motion [rad].
        process_noise_*: as in :class:`.parameters.WorldParameters`.
        odometry_noise_*: standard deviation of a message [m, m, rad, m/s, rad/s].
        odometry_rate: messages a second; 0: one each step [Hz].
        odometry_jitter: largest deviation of a stamp, in periods.
        odometry_late: age of a message when it comes, in periods (of 0.05 s where each step has one).
        encoder_v, encoder_omega: step that the measured twist is rounded to; 0: none [m/s, rad/s].
        echo: 1: the measured twist is the newest command; 0: it is measured.

    Raises:
        InvalidValueError: a field is NaN or out of its range; the message gives the range.
    """

    delay_v: float = _parameter(0.0, 0.0, 1.0, "s")
    delay_omega: float = _parameter(0.0, 0.0, 1.0, "s")
    quantum_v: float = _parameter(0.0, 0.0, 0.5, "m/s")
    quantum_omega: float = _parameter(0.0, 0.0, 1.0, "rad/s")
    gain_v: float = _parameter(1.0, 0.2, 1.5)
    gain_omega: float = _parameter(1.0, 0.2, 1.5)
    dead_v: float = _parameter(0.0, 0.0, 0.5, "m/s")
    dead_omega: float = _parameter(0.0, 0.0, 2.0, "rad/s")
    hysteresis: float = _parameter(0.6, 0.0, 1.0)
    speed_up_v: float = _parameter(_NEVER, 0.1, _NEVER, "m/s^2")
    slow_down_v: float = _parameter(_NEVER, 0.1, _NEVER, "m/s^2")
    speed_up_omega: float = _parameter(_NEVER, 0.1, _NEVER, "rad/s^2")
    slow_down_omega: float = _parameter(_NEVER, 0.1, _NEVER, "rad/s^2")
    frequency_v: float = _parameter(14.0, 1.0, 40.0, "rad/s")
    frequency_omega: float = _parameter(14.0, 1.0, 40.0, "rad/s")
    damping_v: float = _parameter(0.9, 0.1, 2.0)
    damping_omega: float = _parameter(0.9, 0.1, 2.0)
    torque_v: float = _parameter(_NEVER, 0.1, _NEVER, "m/s^2")
    torque_omega: float = _parameter(_NEVER, 0.1, _NEVER, "rad/s^2")
    axle_offset: float = _parameter(0.0, -0.5, 0.5, "m")
    turn_loss: float = _parameter(0.0, 0.0, 0.9)
    turn_knee: float = _parameter(1.0, 0.1, 20.0, "1/m")
    understeer: float = _parameter(0.0, 0.0, 1.0, "s^2/m^2")
    scrub: float = _parameter(0.0, 0.0, 1.0, "rad/s")
    icr: float = _parameter(0.0, -0.5, 0.5, "m")
    caster_kick: float = _parameter(0.0, 0.0, 20.0, "rad/s^2")
    caster_drag: float = _parameter(0.0, 0.0, 3.0, "m/s^2")
    caster_trail: float = _parameter(0.05, 0.02, 0.2, "m")
    caster_start: float = _parameter(0.0, -math.pi, math.pi, "rad")
    process_noise_x: float = _parameter(0.0, 0.0, 0.5, "m")
    process_noise_y: float = _parameter(0.0, 0.0, 0.5, "m")
    process_noise_yaw: float = _parameter(0.0, 0.0, 0.5, "rad")
    process_noise_v: float = _parameter(0.0, 0.0, 0.5, "m/s")
    process_noise_omega: float = _parameter(0.0, 0.0, 0.5, "rad/s")
    odometry_noise_x: float = _parameter(0.0, 0.0, 0.5, "m")
    odometry_noise_y: float = _parameter(0.0, 0.0, 0.5, "m")
    odometry_noise_yaw: float = _parameter(0.0, 0.0, 0.5, "rad")
    odometry_noise_v: float = _parameter(0.0, 0.0, 0.5, "m/s")
    odometry_noise_omega: float = _parameter(0.0, 0.0, 0.5, "rad/s")
    odometry_rate: float = _parameter(0.0, 0.0, 200.0, "Hz")
    odometry_jitter: float = _parameter(0.0, 0.0, 0.45)
    odometry_late: float = _parameter(0.0, 0.0, 3.0)
    encoder_v: float = _parameter(0.0, 0.0, 0.2, "m/s")
    encoder_omega: float = _parameter(0.0, 0.0, 0.5, "rad/s")
    echo: float = _parameter(0.0, 0.0, 1.0)

    def as_vector(self) -> np.ndarray:
        """All parameters in the order of ``FIRMWARE_PARAMETERS``, shape (F,), float64."""
        return np.array([getattr(self, name) for name in FIRMWARE_PARAMETERS])

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> FirmwareParameters:
        """The record whose :meth:`as_vector` is ``vector``, shape (F,).

        Raises:
            InvalidValueError: wrong shape, or a value out of its range.
        """
        vector = np.asarray(vector, dtype=float)
        if vector.shape != (len(FIRMWARE_PARAMETERS),):
            raise InvalidValueError(
                f"a parameter vector must have shape ({len(FIRMWARE_PARAMETERS)},), got {vector.shape}"
            )
        return cls(*vector.tolist())


FIRMWARE_PARAMETERS: tuple[str, ...] = tuple(field.name for field in attrs.fields(FirmwareParameters))
INDEX: dict[str, int] = {name: i for i, name in enumerate(FIRMWARE_PARAMETERS)}
FIRMWARE_LOW = np.array([field.metadata["low"] for field in attrs.fields(FirmwareParameters)])
FIRMWARE_HIGH = np.array([field.metadata["high"] for field in attrs.fields(FirmwareParameters)])

# Where an axis has an index of its own, the yaw axis follows the forward axis.
DELAY = INDEX["delay_v"]
QUANTUM = INDEX["quantum_v"]
GAIN = INDEX["gain_v"]
DEAD = INDEX["dead_v"]
HYSTERESIS = INDEX["hysteresis"]
RAMP = INDEX["speed_up_v"]  # speed up, slow down; of v, then of omega
FREQUENCY = INDEX["frequency_v"]
DAMPING = INDEX["damping_v"]
TORQUE = INDEX["torque_v"]
AXLE_OFFSET = INDEX["axle_offset"]
TURN_LOSS = INDEX["turn_loss"]
TURN_KNEE = INDEX["turn_knee"]
UNDERSTEER = INDEX["understeer"]
SCRUB = INDEX["scrub"]
ICR = INDEX["icr"]
CASTER_KICK = INDEX["caster_kick"]
CASTER_DRAG = INDEX["caster_drag"]
CASTER_TRAIL = INDEX["caster_trail"]
CASTER_START = INDEX["caster_start"]
# The first of five each: x, y, yaw, v, omega.
FIRMWARE_PROCESS_NOISE = INDEX["process_noise_x"]
FIRMWARE_ODOMETRY_NOISE = INDEX["odometry_noise_x"]
ODOMETRY_RATE = INDEX["odometry_rate"]
ODOMETRY_JITTER = INDEX["odometry_jitter"]
ODOMETRY_LATE = INDEX["odometry_late"]
ENCODER = INDEX["encoder_v"]
ECHO = INDEX["echo"]
