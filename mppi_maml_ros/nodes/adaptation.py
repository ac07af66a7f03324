"""``adaptation``: learns from ``odom`` and ``cmd_vel`` and offers the controller better weights.

One thread runs every callback; an adaptation blocks it for some milliseconds, during which messages
wait with their time of arrival. An offer is a service call whose answer is a callback like any other,
and there is one at a time.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from ..adaptation.adapters import make_adapter
from ..adaptation.attempt import Attempt, Decision
from ..adaptation.online import OnlineAdaptation
from ..core.errors import ArtifactError, InvalidValueError
from ..msg import AdaptationStatus
from ..ros import cdr, qos
from ..ros import conversions as to
from ..ros.base import BaseNode
from ..ros.diagnostics import OK, WARN, Report
from ..ros.executor import Deferred, deferrable, leave, run, with_info
from ..ros.parameters import ParameterError, Parameters
from ..ros.swap_client import SwapAnswer, SwapClient
from ..ros.velocity import CommandSubscription
from ..safety.checks import ClockCheck, ClockEvent, OdometryChecks, OdometryTolerances
from ..safety.frames import FrameLatch
from ..safety.publishers import OneSpeaker
from ..weights.meta_model import PACKAGED, MetaModel
from .adaptation_parameters import TABLE, online_config

NAME = "adaptation"

_TOGETHER = 0.05  # [s] messages wait for one another for no longer
_FASTEST, _FASTEST_TURN = 10.0, 20.0  # [m/s, rad/s] of a robot whose limits are not known
_SKIPPED = (
    Decision.SKIPPED_NO_EXCITATION,
    Decision.SKIPPED_TOO_FEW_SAMPLES,
    Decision.SKIPPED_BUSY,
    Decision.SKIPPED_NOT_TRUSTED,
)
_TROUBLE = (Decision.SWAP_UNAVAILABLE, Decision.REJECTED_BY_CONTROLLER, Decision.ROLLED_BACK)
_REJECTED = (
    Decision.REJECTED_NOT_FINITE,
    Decision.REJECTED_NORM,
    Decision.REJECTED_HELD_OUT,
    Decision.REJECTED_BY_CONTROLLER,
)


class AdaptationNode(BaseNode):
    """See the module."""

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, **options)
        with self.whole():
            self._values = Parameters(self, TABLE, online_config, self._reconfigure)
            self.bring_up(self._values["autostart"])

    def set_up(self) -> None:
        """See :class:`BaseNode`."""
        values = self._values
        config = online_config(values)
        try:
            self._meta = MetaModel.load(values["weights_file"] or PACKAGED)
            self._online = OnlineAdaptation(self._meta, config)
        except (ArtifactError, InvalidValueError) as error:
            raise ParameterError(f"invalid parameters weights_file or adapter: {error}") from error
        self._online.warm_up()  # before the first message waits for it
        self._frames = FrameLatch(values["odom_frame"], values["base_frame"])
        self._checks = self._make_checks()
        self._clock_check = ClockCheck()
        self._odometry_seen = self._command_seen = False
        self._attempted = self._tried = False  # ever, and since the last tick of the timer
        self._ticked_at = self.steady_now()

        self._unread: list[tuple[Callable[[bytes, float, float], None], bytes, float, float]] = []
        self._unread_since = self.steady_now()
        self._waiting: list[Deferred] = []
        self._counts: Counter[str] = Counter()
        self._status = AdaptationStatus(adapter=config.adapter, reason="nothing was attempted so far")
        nothing = float("nan")
        for field in ("loss_before", "loss_after", "adapt_ms", "swap_ms", "delay"):
            setattr(self._status, field, nothing)
        for field in ("prior", "meta", "current", "candidate"):
            setattr(self._status, f"held_out_{field}", nothing)
        self._status.gain = self._status.time_constant = np.full(2, nothing)

        self._status_publisher = self.advertise(AdaptationStatus, "~/status", qos.STATE)
        self._swaps = SwapClient(
            self,
            values["controller_name"],
            values["swap_timeout"],
            self._online.forget_serving,
            self._online.add_tracking,
        )
        self.subscribe(Odometry, "odom", with_info(self._on_odometry), qos.RECORD, raw=True)
        self._commands = CommandSubscription(self, values["cmd_vel_type"], self._on_command)
        self._speaker = OneSpeaker()
        self.subscribe(Bool, "estop", self._on_emergency_stop, qos.STATE)
        deferrable(self.serve(Trigger, "~/adapt", self._on_adapt))
        self.serve(SetBool, "~/enable", self._on_enable)
        self.diagnose(adaptation=self._report_adaptation, swaps=self._report_swaps)
        self.every(values["adapt_interval"], self._tick)
        self.every(0.5, self._publish_status)
        self.every(0.5, self._commands.look)
        self.get_logger().info(
            f"{config.adapter} every {values['min_adapt_interval']:g} to {values['adapt_interval']:g} s, "
            f"{self._meta.delay_taps} delay taps, {'enabled' if values['enabled'] else 'disabled'}"
        )

    def _make_checks(self) -> OdometryChecks:
        values = self._values
        return OdometryChecks(
            OdometryTolerances(
                odom_frame=self._frames.odom_frame,
                base_frame=self._frames.base_frame,
                max_speed=max(values["vx_max"], -values["vx_min"]) or _FASTEST,
                max_yaw_rate=values["wz_max"] or _FASTEST_TURN,
                max_age=values["max_odometry_age"],
            )
        )

    def pause(self) -> None:
        """Learn no more; what has been learned stays."""
        self._online.reset()

    @property
    def _adapting(self) -> bool:
        return self.active and self._values["enabled"]

    def _reconfigure(self, changed: set[str]) -> None:
        if not self.configured:
            return
        config = online_config(self._values)
        self._online.config = config
        self._online.adapter = make_adapter(config.adapter, self._meta, config.sgd)
        self.get_logger().info(f"changed: {', '.join(sorted(changed))}")

    # What comes in

    def _on_odometry(self, data: bytes, info: dict) -> None:
        self._receive(self._take_odometry, data, info)
        if self.steady_now() - self._unread_since >= _TOGETHER:
            self._read()

    def _on_command(self, data: bytes, info: dict) -> None:
        alone = self._speaker.heard(info.get("publication_sequence_number"), len(self._commands.publishers))
        take = self._take_stamped_command if self._commands.stamped else self._take_command
        self._receive(partial(take, certain=alone and self._commands.obeyed), data, info)
        self._read()

    def _receive(self, take: Callable[[bytes, float, float], None], data: bytes, info: dict) -> None:
        """Keep a message: those that are looked at together cost a fraction of what they cost one by one."""
        if not self._unread:
            self._unread_since = self.steady_now()
        now = self.now()
        self._unread.append((take, data, now, to.arrival(now, info)))

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        for take, data, now, at in unread:
            try:
                take(data, now, at)
            except Exception as error:  # noqa: BLE001 - a message must not keep the others from being read
                self.guard.note(getattr(take, "func", take).__name__, error)

    def _take_odometry(self, data: bytes, now: float, at: float) -> None:
        self._look_at_clock(now)
        sent = cdr.odometry(data)
        if self._frames.offer(sent.frame_id, sent.child_frame_id):
            self._checks = self._make_checks()
        verdict = self._checks.check(sent, at, self._online.evidence.twist.believed)
        if verdict.odometry is None:
            if math.isfinite(verdict.since):
                self._online.distrust(verdict.since, verdict.message)
            self.get_logger().warning(verdict.message, throttle_duration_sec=5.0)
            return
        self._odometry_seen = True
        if verdict.warning:
            self.get_logger().warning(verdict.warning)
        changed = self._online.add_odometry(verdict.odometry, verdict.continuous)
        if not self._adapting or self._swaps.busy:
            return
        if changed:
            self.get_logger().info("the robot has changed: adapting at once")
        if changed or (self._online.due and self._swaps.ready):  # or else the timer is soon enough
            self._try()

    def _take_command(self, data: bytes, now: float, at: float, certain: bool) -> None:
        self._add_command(now, at, cdr.twist(data), certain)

    def _take_stamped_command(self, data: bytes, now: float, at: float, certain: bool) -> None:
        stamp, command = cdr.stamped_twist(data)
        self._add_command(now, stamp if 0.0 < stamp <= at <= stamp + 1.0 else at, command, certain)

    def _add_command(self, now: float, at: float, command: tuple[float, float], certain: bool) -> None:
        self._look_at_clock(now)
        self._command_seen = True
        self._online.add_command(at, command)
        if not certain:
            self._online.doubt_commands(at)

    def _on_emergency_stop(self, message: Bool) -> None:
        self._online.set_emergency_stop(message.data)

    def _look_at_clock(self, now: float) -> None:
        event = self._clock_check.look(now, self.steady_now())
        if event is not ClockEvent.NONE:
            self.get_logger().warning(
                f"the clock jumped by {self._clock_check.jump:.3f} s: the data are forgotten"
            )
            self._online.reset()
            self._checks.reset()

    # Attempts

    def _tick(self) -> None:
        self._read()
        steady = self.steady_now()
        last, self._ticked_at = self._ticked_at, steady
        if not self._adapting:
            return
        interval = self._values["adapt_interval"]
        if missed := max(int((steady - last) / interval) - 1, 0):
            self._counts["skipped"] += missed
            self.get_logger().warning(
                f"{missed} attempts skipped: the last took longer than the adapt_interval of {interval:g} s",
                throttle_duration_sec=10.0,
            )
        if not self._tried:  # without odometry nothing is due, and it has to be told why
            self._try()
        self._counts["skipped"] += not self._tried
        self._tried = False

    def _try(self) -> None:
        """One attempt: adapt, and offer what comes of it."""
        if self._swaps.busy:
            self._decide(Decision.SKIPPED_BUSY, "the answer to the last offer has not come yet")
            self._publish_status()
            return
        attempt = self._online.attempt()
        self._tried |= attempt.decision not in _SKIPPED
        self._attempted |= self._tried
        self._note(attempt)
        if attempt.weights is None:
            self._decide(attempt.decision, attempt.reason)
        elif not self._swaps.ready:
            self._online.refused()
            self._decide(Decision.SWAP_UNAVAILABLE, f"the service {self._swaps.service} is not there")
        else:
            self._swaps.offer(attempt.weights, partial(self._on_swap_end, attempt))
            return
        self._publish_status()

    def _note(self, attempt: Attempt) -> None:
        status = self._status
        if attempt.adaptation is not None:
            adaptation = attempt.adaptation
            status.loss_before, status.loss_after = map(
                float, (adaptation.loss_before, adaptation.loss_after)
            )
            status.adapt_ms, status.delay = float(attempt.adapt_ms), float(adaptation.delay)
            status.gain = np.array(adaptation.gain, dtype=float)
            status.time_constant = np.array(adaptation.time_constant, dtype=float)
        if attempt.verdict is not None:
            for field in ("prior", "meta", "current", "candidate"):
                setattr(status, f"held_out_{field}", float(getattr(attempt.verdict, field)))

    def _on_swap_end(self, attempt: Attempt, answer: SwapAnswer) -> None:
        self._status.swap_ms = answer.swap_ms
        if answer.installed:
            self._online.installed()
            self._counts["accepted"] += attempt.decision is Decision.ACCEPTED
            self._decide(attempt.decision, attempt.reason)
        else:
            self._online.refused()
            refused = Decision.REJECTED_BY_CONTROLLER if answer.answered else Decision.SWAP_UNAVAILABLE
            self._decide(refused, answer.message)
        self._publish_status()

    def _decide(self, decision: Decision, reason: str) -> None:
        changed = decision != self._status.decision
        self._status.decision, self._status.reason = int(decision), reason
        self._counts["rejected"] += decision in _REJECTED
        self._counts[decision.name] += 1
        text = f"{decision.name}: {reason}"
        if decision is Decision.SKIPPED_BUSY:
            return
        if decision in _TROUBLE:
            self.get_logger().warning(text, throttle_duration_sec=10.0)
        elif changed:
            self.get_logger().info(text)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.send(Trigger.Response(success=decision is Decision.ACCEPTED, message=text))

    # Services

    def _on_adapt(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response | Deferred:
        if self._swaps.busy:
            response.success = False
            response.message = "SKIPPED_BUSY: the answer to the last offer has not come yet"
            return response
        self._read()
        deferred = Deferred()
        self._waiting.append(deferred)
        self._try()
        return deferred

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        result = self.set_parameters([Parameter("enabled", Parameter.Type.BOOL, request.data)])[0]
        response.success, response.message = result.successful, result.reason
        if result.successful:
            response.message = (
                "adapting" if request.data else "not adapting; the weights that are installed go on serving"
            )
        self._publish_status()
        return response

    # What goes out

    def _state(self) -> int:
        if not self._values["enabled"]:
            return AdaptationStatus.DISABLED
        if not (self._odometry_seen and self._command_seen):
            return AdaptationStatus.WAITING_FOR_DATA
        return AdaptationStatus.ACTIVE if self._attempted else AdaptationStatus.WARMING_UP

    def _publish_status(self) -> None:
        if not self._status_publisher.get_subscription_count():
            return
        status = self._status
        status.header.stamp = to.to_stamp(self.now())
        status.state = self._state()
        status.samples = self._online.samples
        status.samples_excluded = self._online.samples_excluded
        status.weights_version = self._swaps.version
        status.swaps_accepted = self._counts["accepted"]
        status.swaps_rejected = self._counts["rejected"]
        status.ticks_skipped = self._counts["skipped"]
        status.changes_detected = self._online.changes_detected
        self._status_publisher.publish(status)

    def _report_adaptation(self) -> Report:
        status = self._status
        names = ("DISABLED", "WAITING_FOR_DATA", "WARMING_UP", "ACTIVE")
        values = {
            "state": names[self._state()],
            "adapter": status.adapter,
            "samples": self._online.samples,
            "held_out_prior": status.held_out_prior,
            "held_out_candidate": status.held_out_candidate,
            "adapt_ms": status.adapt_ms,
            "changes_detected": self._online.changes_detected,
            **{f"odometry_{reason.value}": count for reason, count in self._checks.counts.items()},
            **{f"excluded: {reason}": count for reason, count in self._online.buffer.excluded.items()},
        }
        waiting = self._state() == AdaptationStatus.WAITING_FOR_DATA
        missing = "odometry" if not self._odometry_seen else "cmd_vel"
        remark = self._commands.trouble or self._online.evidence.remark
        trouble = f"no {missing} so far" if waiting else remark
        return Report(WARN if trouble else OK, trouble or status.reason, values)

    def _report_swaps(self) -> Report:
        decision = Decision(self._status.decision)
        bad = decision in _TROUBLE
        values = {"version": self._swaps.version, "swap_ms": self._status.swap_ms, **self._counts}
        return Report(WARN if bad else OK, self._status.reason if bad else decision.name, values)


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; returns the exit code."""
    os.nice(5)  # the controller beside it has a deadline
    return run(NAME, AdaptationNode, args)


if __name__ == "__main__":
    leave(main())
