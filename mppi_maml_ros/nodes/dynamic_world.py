"""``dynamic_world``: a simulated robot that obeys ``cmd_vel`` and publishes ``odom``.

The world is stepped by the time that has really passed. Steps end at multiples of the odometry
period; a command acts from its arrival on, within a step as well, and none for longer than
``cmd_vel_timeout``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock

from ..core.errors import InvalidValueError, MppiMamlError
from ..msg import WorldState
from ..ros import conversions as to
from ..ros import qos
from ..ros.base import BaseNode
from ..ros.diagnostics import OK, WARN, Report
from ..ros.executor import leave, run
from ..ros.parameters import ParameterError, Parameters
from ..ros.velocity import KINDS
from ..simulation import faults
from ..simulation.parameters import (
    DEFAULT_RANGES,
    MOTOR_GAIN,
    ODOMETRY_NOISE,
    PARAMETER_NAMES,
    WorldParameters,
    randomize,
    validate_ranges,
)
from ..srv import RandomizeWorld
from .dynamic_world_parameters import BACKENDS, TABLE, check, drawn_ranges, exact_world

NAME = "dynamic_world"

_CLOCK_START = 1.0  # [s] of /clock: 0 means that no time is known
_LONGEST_CATCH_UP = 0.5  # [s] of simulated time in one go; what is beyond is lost


class DynamicWorldNode(BaseNode):
    """See the module."""

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, **options)
        with self.whole():
            self._values = Parameters(self, TABLE, check)
            self.bring_up(self._values["autostart"])

    def set_up(self) -> None:
        """See :class:`BaseNode`."""
        values = self._values
        self._base, self._ranges = exact_world(values), drawn_ranges(values)
        self._draws = np.random.default_rng([values["seed"], 1])
        self._seed = values["seed"]
        parameters = self._base
        if values["randomize_on_start"]:
            parameters = randomize(np.random.default_rng(self._seed), self._ranges, self._base)
        try:
            self._world = BACKENDS[values["backend"]](parameters, seed=self._seed, start=values["start_pose"])
        except MppiMamlError as error:
            raise ParameterError(f"invalid parameter backend: {error}") from error
        self._warm_up(parameters)
        self._period = 1.0 / values["odom_rate"]
        self._injector = faults.Injector(faults.parse(values["faults"]), seed=self._seed)
        self._moved_at: float | None = None  # world time of the first command to move; faults count from it

        self._command = (0.0, 0.0)
        self._command_until = -math.inf  # world time at which the command is too old
        self._held = True  # at zero over the last step, for want of a command
        self._ignored = 0
        self._lost = 0.0
        self._steps = 0  # multiples of the period that were reached
        self._begin = self.steady_now()  # steady time at world time 0

        self._odometry_publisher = self.advertise(Odometry, "odom", qos.ODOMETRY)
        self._state_publisher = self.advertise(WorldState, "~/world_state", qos.TRUTH)
        self._clock_publisher = None
        if values["publish_clock"]:
            self._clock_publisher = self.advertise(Clock, "/clock", qos.STATE)
        self.subscribe(KINDS[values["cmd_vel_type"]], "cmd_vel", self._on_command, qos.COMMAND)
        self.serve(RandomizeWorld, "~/randomize", self._on_randomize)
        self.diagnose(world=self._report_world)
        self._begin = self.steady_now()
        self.every(self._period, self._tick)
        if values["randomize_period"] > 0.0:
            self.every(values["randomize_period"], self._draw_another)
        self._tell("drawn" if values["randomize_on_start"] else "given")

    def _warm_up(self, parameters: WorldParameters) -> None:
        world = type(self._world)(parameters)
        for _ in range(3):
            world.step((0.1, 0.1), 0.02)

    # Time

    def begin(self) -> None:
        """The world goes on from where it stood."""
        self._begin = self.steady_now() - self._world.time

    def _advance(self, until: float) -> None:
        """Bring the world to ``until`` [s, world time]; the command ends when it is too old."""
        world = self._world
        while until - world.time > 1e-9:
            alive = world.time < self._command_until
            self._held = not alive
            end = min(until, self._command_until) if alive else until
            # A rest below the world's own resolution is no step.
            if end - world.time > 1e-9:
                command = self._command if alive else (0.0, 0.0)
                self._injector.step(world, command, min(end - world.time, 0.1), self._fault_time())
            else:
                self._command_until = -math.inf

    def _world_now(self) -> float:
        return self.steady_now() - self._begin

    def _tick(self) -> None:
        if not self.active:
            return
        behind = self._world_now() - self._world.time
        if behind > _LONGEST_CATCH_UP:
            # The machine was suspended, or is far too slow: that time did not pass in the world.
            self._begin += behind - self._period
            self._lost += behind - self._period
        while (self._steps + 1) * self._period <= self._world_now() + 1e-3 * self._period:
            self._steps += 1
            self._advance(self._steps * self._period)
            self._publish()

    def _fault_time(self) -> float:
        return -math.inf if self._moved_at is None else self._world.time - self._moved_at

    def _stamp(self) -> float:
        if self._clock_publisher is not None:
            return self._injector.clock(_CLOCK_START + self._world.time, self._fault_time())
        # A process that has to wait between two looks at clocks would tell too old a stamp.
        return self._world.time + max(self.now() - self._world_now() for _ in range(3))

    # What goes out

    def _publish(self) -> None:
        values, world = self._values, self._world
        now = self._stamp()
        stamp = to.to_stamp(now)
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=stamp))
        variances = world.parameters.as_vector()[ODOMETRY_NOISE : ODOMETRY_NOISE + 5] ** 2
        message = to.odometry_message(
            to.to_stamp(now - world.odometry_age),
            values["odom_frame"],
            values["base_frame"],
            world.odometry(),
            variances,
        )
        if self._injector.faults:
            sent = to.read_odometry(message)
            for spoilt in self._injector.odometry(sent, self._fault_time()):
                to.write_odometry(message, spoilt)
                self._odometry_publisher.publish(message)
        else:
            self._odometry_publisher.publish(message)
        self._state_publisher.publish(self._state(stamp))

    def _state(self, stamp: Time) -> WorldState:
        world = self._world
        state = world.state
        twist = to.twist_message(state[3:5])
        twist.linear.y = world.lateral_velocity
        parameters = world.current_parameters()
        message = WorldState(
            pose=to.pose_message(state[:3]),
            twist=twist,
            command=to.twist_message(world.acting_command),
            command_timed_out=self._held,
            seed=self._seed,
            names=list(PARAMETER_NAMES),
            values=parameters.as_vector().tolist(),
        )
        message.header.stamp = stamp
        message.header.frame_id = self._values["odom_frame"]
        return message

    # What comes in

    def _on_command(self, message: Twist | TwistStamped) -> None:
        command = to.command_of(message)
        if self._moved_at is None and any(command):
            self._moved_at = self._world.time
        if self._injector.faults:
            heard = self._injector.command(command, self._fault_time())
            if heard is None:
                return
            command = heard
        if not all(map(math.isfinite, command)):
            self._ignored += 1
            self.get_logger().error(
                "cmd_vel holds a NaN or an infinity and is ignored", throttle_duration_sec=1.0
            )
            return
        if not self.active:
            return
        now = self._world_now()
        if now - self._world.time <= _LONGEST_CATCH_UP:
            self._advance(now)
        self._command = command
        self._command_until = self._world.time + self._values["cmd_vel_timeout"]

    def _on_randomize(
        self, request: RandomizeWorld.Request, response: RandomizeWorld.Response
    ) -> RandomizeWorld.Response:
        response.success = False
        try:
            ranges = self._ranges
            if request.names:
                if not len(request.names) == len(request.low) == len(request.high):
                    raise InvalidValueError(
                        f"names, low and high must have one length, got {len(request.names)}, "
                        f"{len(request.low)} and {len(request.high)}"
                    )
                ranges = dict(zip(request.names, zip(request.low, request.high, strict=True), strict=True))
                validate_ranges(ranges)
            base = self._world.parameters if request.names else self._base
            self._draw(request.seed or self._next_seed(), ranges, base)
            if request.reset_pose:
                self._world.place(self._values["start_pose"])
            response.success = True
        except InvalidValueError as error:
            response.message = str(error)
        response.seed = self._seed
        response.names = list(PARAMETER_NAMES)
        response.values = self._world.parameters.as_vector().tolist()
        return response

    def _next_seed(self) -> int:
        return int(self._draws.integers(1, 2**63))

    def _draw_another(self) -> None:
        self._draw(self._next_seed(), self._ranges, self._base)

    def _draw(self, seed: int, ranges: Mapping, base: WorldParameters) -> None:
        self._world.set_parameters(randomize(np.random.default_rng(seed), ranges, base))
        self._seed = seed
        self._tell("drawn")

    def _tell(self, how: str) -> None:
        names = {
            name: value
            for name, value in attrs.asdict(self._world.parameters).items()
            if name in self._shown()
        }
        text = ", ".join(f"{name} {value:.3g}" for name, value in names.items())
        self.get_logger().info(f"world {how}, seed {self._seed}: {text}")

    @staticmethod
    def _shown() -> set[str]:
        return (set(DEFAULT_RANGES) - {MOTOR_GAIN}) | {"motor_gain_left", "motor_gain_right"}

    def _report_world(self) -> Report:
        world = self._world
        values = {
            "seed": self._seed,
            "time": world.time,
            "time_lost": self._lost,
            "commands_ignored": self._ignored,
            **attrs.asdict(world.parameters),
        }
        return Report(
            WARN if self._held else OK, "no command, motors held at zero" if self._held else "driving", values
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; returns the exit code."""
    return run(NAME, DynamicWorldNode, args)


if __name__ == "__main__":
    leave(main())
