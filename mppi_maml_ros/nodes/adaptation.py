"""``adaptation``: learns from ``odom`` and ``cmd_vel`` and offers the controller better weights.

One thread runs every callback; an adaptation blocks it for some milliseconds, during which messages
wait with their time of arrival. An offer is a service call whose answer is a callback like any other,
and there is one at a time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from ..adaptation.adapters import ADAPTERS, make_adapter
from ..adaptation.guard import GuardConfig
from ..adaptation.online import Attempt, Decision, OnlineAdaptation, OnlineConfig
from ..adaptation.sgd import OPTIMISERS, SGDConfig
from ..core.errors import ArtifactError, InvalidValueError
from ..core.types import VelocityLimits
from ..msg import AdaptationStatus, ControllerStatus
from ..ros import conversions as to
from ..ros import qos
from ..ros.base import AUTOSTART, BaseNode
from ..ros.diagnostics import OK, WARN, Report
from ..ros.executor import Deferred, deferrable, leave, run
from ..ros.parameters import Declared, ParameterError, Parameters
from ..ros.weights import weights_message
from ..safety.checks import ClockCheck, ClockEvent, OdometryChecks, OdometryTolerances
from ..safety.frames import FrameLatch
from ..srv import SwapWeights
from ..weights.meta_model import PACKAGED, MetaModel

NAME = "adaptation"

_ONLINE, _SGD, _GUARD = OnlineConfig(), SGDConfig(), GuardConfig()
_FASTEST, _FASTEST_TURN = 10.0, 20.0  # [m/s, rad/s] of a robot whose limits are not known
_UNNOTICED = 1.0  # [s] the controller may report other weights than ours for this long
_SKIPPED = (Decision.SKIPPED_NO_EXCITATION, Decision.SKIPPED_TOO_FEW_SAMPLES, Decision.SKIPPED_BUSY)
_REJECTED = (
    Decision.REJECTED_NOT_FINITE,
    Decision.REJECTED_NORM,
    Decision.REJECTED_HELD_OUT,
    Decision.REJECTED_BY_CONTROLLER,
)

SGD_TABLE = (
    Declared("inner_lr", _SGD.inner_lr, "Learning rate of the SGD steps", "", 1e-6, 10.0, dynamic=True),
    Declared(
        "inner_steps",
        _SGD.inner_steps,
        "SGD steps from the meta-learned weights",
        "",
        1,
        10_000,
        dynamic=True,
    ),
    Declared("optimiser", _SGD.optimiser, "Of the inner steps", choices=OPTIMISERS, dynamic=True),
    Declared(
        "max_gradient_norm",
        _SGD.max_gradient_norm,
        "Gradients are scaled down to this",
        "",
        1e-6,
        1e9,
        dynamic=True,
    ),
    Declared(
        "patience",
        _SGD.patience,
        "Stop after so many steps without improvement on held-out data; 0: take all steps",
        "",
        0,
        10_000,
        dynamic=True,
    ),
)

GUARD_TABLE = (
    Declared(
        "guard.held_out_share",
        _GUARD.held_out_share,
        "Newest part of the data to judge by",
        "",
        0.05,
        0.9,
        dynamic=True,
    ),
    Declared(
        "guard.min_held_out",
        _GUARD.min_held_out,
        "Fewest predictions to judge by",
        "",
        1,
        10_000,
        dynamic=True,
    ),
    Declared(
        "guard.margin",
        _GUARD.margin,
        "A candidate must beat the prior by this share",
        "",
        0.0,
        0.9,
        dynamic=True,
    ),
    Declared(
        "guard.tolerance",
        _GUARD.tolerance,
        "A candidate may be worse than what serves by this share",
        "",
        0.0,
        0.9,
        dynamic=True,
    ),
    Declared(
        "guard.max_correction",
        _GUARD.max_correction,
        "Largest correction that a candidate may predict",
        "m/s, rad/s",
        1e-3,
        100.0,
        dynamic=True,
    ),
    Declared(
        "guard.max_extrapolation",
        _GUARD.max_extrapolation,
        "Share of the fastest velocity that a steady drive may be corrected by, where no data reach",
        "",
        1e-3,
        100.0,
        dynamic=True,
    ),
)

TABLE = (
    AUTOSTART,
    Declared("enabled", True, "Adapt and offer weights; off, the installed ones stay", dynamic=True),
    Declared("adapter", _ONLINE.adapter, "How weights are made from data", choices=ADAPTERS),
    Declared("weights_file", "", "Meta-learned artifact to start from; empty: the packaged one"),
    Declared("adapt_interval", 0.5, "Time between two attempts", "s", 0.1, 3600.0),
    Declared(
        "warmup_samples", _ONLINE.warmup_samples, "Transitions before the first attempt", "", 4, 100_000
    ),
    Declared(
        "min_samples", _ONLINE.min_samples, "Transitions kept, and enough, after a change", "", 4, 100_000
    ),
    Declared(
        "meta_samples",
        _ONLINE.meta_samples,
        "Transitions that theta* is judged by, to serve before the warm-up; 0: never",
        "",
        0,
        100_000,
    ),
    Declared(
        "growth",
        _ONLINE.growth,
        "An attempt need not wait for the timer once the data have grown by this share",
        "",
        0.05,
        100.0,
    ),
    Declared("buffer_size", _ONLINE.buffer_size, "Transitions kept; older ones fall out", "", 8, 100_000),
    *SGD_TABLE,
    *GUARD_TABLE,
    Declared("vx_max", 0.0, "Largest forward velocity of the robot; 0: not known", "m/s", 0.0, 20.0),
    Declared("vx_min", 0.0, "Smallest forward velocity of the robot", "m/s", -20.0, 0.0),
    Declared("wz_max", 0.0, "Largest yaw rate of the robot; 0: not known", "rad/s", 0.0, 20.0),
    Declared("max_odometry_age", 0.25, "Oldest stamp of odometry at its arrival", "s", 0.01, 5.0),
    Declared("odom_frame", "", "Frame of odometry; empty: that of the first odometry"),
    Declared("base_frame", "", "Child frame of odometry; empty: that of the first odometry"),
    Declared("enable_stamped_cmd_vel", False, "Subscribe to TwistStamped in place of Twist"),
    Declared("controller_name", "mppi_controller", "Node whose weights are swapped"),
    Declared("swap_timeout", 1.0, "How long to wait for the controller's answer", "s", 0.05, 60.0),
)


def _short(table, values: Mapping) -> dict:
    return {declared.name.rpartition(".")[2]: values[declared.name] for declared in table}


def _config(values: Mapping) -> OnlineConfig:
    limits = None
    if values["vx_max"] > 0.0 and values["wz_max"] > 0.0:
        limits = VelocityLimits(vx_max=values["vx_max"], vx_min=values["vx_min"], wz_max=values["wz_max"])
    if not values["controller_name"]:
        raise InvalidValueError("controller_name must not be empty")
    return OnlineConfig(
        adapter=values["adapter"],
        warmup_samples=values["warmup_samples"],
        min_samples=values["min_samples"],
        meta_samples=values["meta_samples"],
        growth=values["growth"],
        buffer_size=values["buffer_size"],
        sgd=SGDConfig(**_short(SGD_TABLE, values)),
        guard=GuardConfig(**_short(GUARD_TABLE, values)),
        limits=limits,
    )


class AdaptationNode(BaseNode):
    """See the module."""

    def __init__(self, **options):
        super().__init__(NAME, **options)
        self._values = Parameters(self, TABLE, _config, self._reconfigure)
        self.bring_up(self._values["autostart"])

    def set_up(self) -> None:
        """See :class:`BaseNode`."""
        values = self._values
        config = _config(values)
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
        self._attempted = False
        self._ticked_at = self.steady_now()

        self._version = 0
        self._swap = None  # the future of the offer under way
        self._swap_began = 0.0
        self._swap_attempt: Attempt | None = None
        self._waiting: list[Deferred] = []
        self._differs_since: float | None = None
        self._counts: Counter[str] = Counter()
        self._status = AdaptationStatus(adapter=config.adapter, reason="nothing was attempted so far")
        nothing = float("nan")
        for field in ("loss_before", "loss_after", "adapt_ms", "swap_ms", "delay"):
            setattr(self._status, field, nothing)
        for field in ("prior", "meta", "current", "candidate"):
            setattr(self._status, f"held_out_{field}", nothing)
        self._status.gain = self._status.time_constant = np.full(2, nothing)

        self._status_publisher = self.advertise(AdaptationStatus, "~/status", qos.STATE)
        controller = values["controller_name"]
        self._client = self.client_of(SwapWeights, f"{controller}/swap_weights")
        self.subscribe(ControllerStatus, f"{controller}/status", self._on_controller_status, qos.SENSOR)
        self.subscribe(Odometry, "odom", self._on_odometry, qos.RECORD)
        kind = TwistStamped if values["enable_stamped_cmd_vel"] else Twist
        self.subscribe(kind, "cmd_vel", self._on_command, qos.RECORD)
        deferrable(self.serve(Trigger, "~/adapt", self._on_adapt))
        self.serve(SetBool, "~/enable", self._on_enable)
        self._diagnostics = self.diagnose(
            {
                "adaptation": self._report_adaptation,
                "swaps": self._report_swaps,
                "topics": self.report_topics,
                "callbacks": self.report_callbacks,
            },
        )
        self.every(values["adapt_interval"], self._tick)
        self.every(0.5, self._publish_status)
        self.every(0.1, self._watch_swap)
        self.get_logger().info(
            f"{config.adapter} every {values['adapt_interval']:g} s, {self._meta.delay_taps} delay taps, "
            f"{'enabled' if values['enabled'] else 'disabled'}"
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
        config = _config(self._values)
        self._online.config = config
        self._online.adapter = make_adapter(config.adapter, self._meta, config.sgd)
        self.get_logger().info(f"changed: {', '.join(sorted(changed))}")

    # What comes in

    def _on_odometry(self, message: Odometry, info: dict) -> None:
        at = to.arrival(self.now(), info)
        self._look_at_clock(self.now())
        sent = to.read_odometry(message)
        if self._frames.offer(sent.frame_id, sent.child_frame_id):
            self._checks = self._make_checks()
        verdict = self._checks.check(sent, at)
        if not verdict.accepted:
            self.get_logger().warning(verdict.message, throttle_duration_sec=5.0)
            return
        self._odometry_seen = True
        if self._online.add_odometry(verdict.odometry) and self._adapting:
            self.get_logger().info("the robot has changed: adapting at once")
            self._try("change")
        elif self._adapting and self._online.due:
            self._try("warm-up")

    def _on_command(self, message: Twist | TwistStamped, info: dict) -> None:
        at = to.arrival(self.now(), info)
        self._look_at_clock(self.now())
        if isinstance(message, TwistStamped):
            stamp = to.seconds(message.header.stamp)
            at = stamp if 0.0 < stamp <= at <= stamp + 1.0 else at
        self._command_seen = True
        self._online.add_command(at, to.command_of(message))

    def _look_at_clock(self, now: float) -> None:
        event = self._clock_check.look(now, self.steady_now())
        if event is not ClockEvent.NONE:
            self.get_logger().warning(
                f"the clock jumped by {self._clock_check.jump:.3f} s: the data are forgotten"
            )
            self._online.reset()
            self._checks.reset()

    def _on_controller_status(self, message: ControllerStatus) -> None:
        """Notices when something else serves than what was installed, as after a restart."""
        if self._swap is not None or message.weights_version == self._version:
            self._differs_since = None
            return
        steady = self.steady_now()
        if self._differs_since is None:
            self._differs_since = steady
        elif steady - self._differs_since > _UNNOTICED:
            self.get_logger().warning(
                f"the controller runs version {message.weights_version} instead of {self._version}: "
                "taken for the kinematic prior"
            )
            self._version, self._differs_since = message.weights_version, None
            self._online.forget_serving()

    # Attempts

    def _tick(self) -> None:
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
        self._try("timer")

    def _try(self, why: str) -> None:
        """One attempt: adapt, and offer what comes of it."""
        if self._swap is not None:
            self._decide(Decision.SKIPPED_BUSY, "the answer to the last offer has not come yet")
            self._counts["skipped"] += why == "timer"
            self._publish_status()
            return
        attempt = self._online.attempt()
        self._attempted |= attempt.decision not in _SKIPPED
        self._counts["skipped"] += why == "timer" and attempt.decision in _SKIPPED
        self._note(attempt)
        if attempt.weights is None:
            self._decide(attempt.decision, attempt.reason)
        elif not self._client.service_is_ready():
            self._online.refused()
            self._decide(Decision.SWAP_UNAVAILABLE, f"the service {self._client.srv_name} is not there")
        else:
            self._offer(attempt)
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

    def _offer(self, attempt: Attempt) -> None:
        weights = weights_message(attempt.weights, to.to_stamp(self.now()))
        self._swap_attempt, self._swap_began = attempt, self.steady_now()
        self._swap = self._client.call_async(SwapWeights.Request(weights=weights))
        self._swap.add_done_callback(self.guard(self._on_answer))

    def _on_answer(self, future) -> None:
        if future is not self._swap:
            return
        answer, attempt = future.result(), self._end_swap()
        if answer.success:
            self._online.installed()
            self._version = answer.version
            self._counts["accepted"] += attempt.decision is Decision.ACCEPTED
            self._decide(attempt.decision, attempt.reason)
        else:
            self._online.refused()
            self._decide(Decision.REJECTED_BY_CONTROLLER, f"code {answer.code}: {answer.message}")
        self._publish_status()

    def _watch_swap(self) -> None:
        """Give up on an answer that does not come."""
        timeout = self._values["swap_timeout"]
        if self._swap is None or self.steady_now() - self._swap_began <= timeout:
            return
        self._client.remove_pending_request(self._swap)
        self._end_swap()
        self._online.refused()
        self._decide(
            Decision.SWAP_UNAVAILABLE, f"{self._client.srv_name} did not answer within {timeout:g} s"
        )
        self._publish_status()

    def _end_swap(self) -> Attempt:
        attempt, self._swap, self._swap_attempt = self._swap_attempt, None, None
        self._status.swap_ms = 1e3 * (self.steady_now() - self._swap_began)
        return attempt

    def _decide(self, decision: Decision, reason: str) -> None:
        changed = decision != self._status.decision
        self._status.decision, self._status.reason = int(decision), reason
        self._counts["rejected"] += decision in _REJECTED
        self._counts[decision.name] += 1
        text = f"{decision.name}: {reason}"
        if decision is Decision.SKIPPED_BUSY:
            return
        if decision in (Decision.SWAP_UNAVAILABLE, Decision.REJECTED_BY_CONTROLLER, Decision.ROLLED_BACK):
            self.get_logger().warning(text, throttle_duration_sec=10.0)
        elif changed:
            self.get_logger().info(text)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.send(Trigger.Response(success=decision is Decision.ACCEPTED, message=text))

    # Services

    def _on_adapt(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response | Deferred:
        if self._swap is not None:
            response.success = False
            response.message = "SKIPPED_BUSY: the answer to the last offer has not come yet"
            return response
        deferred = Deferred()
        self._waiting.append(deferred)
        self._try("service")
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
        status = self._status
        status.header.stamp = to.to_stamp(self.now())
        status.state = self._state()
        status.samples = self._online.samples
        status.samples_excluded = self._online.samples_excluded
        status.weights_version = self._version
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
        return Report(WARN if waiting else OK, f"no {missing} so far" if waiting else status.reason, values)

    def _report_swaps(self) -> Report:
        decision = Decision(self._status.decision)
        bad = decision in (Decision.SWAP_UNAVAILABLE, Decision.REJECTED_BY_CONTROLLER, Decision.ROLLED_BACK)
        values = {"version": self._version, "swap_ms": self._status.swap_ms, **self._counts}
        return Report(WARN if bad else OK, self._status.reason if bad else decision.name, values)


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; returns the exit code."""
    os.nice(5)  # the controller beside it has a deadline
    # Only the single-threaded executor tells when a message arrived.
    return run(NAME, AdaptationNode, args, events=False)


if __name__ == "__main__":
    leave(main())
