"""The adaptation loop: buffer, adapt a copy, judge, offer; swap and time are the caller's."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.types import Array, Odometry
from ..dynamics.acceleration import UNLIMITED
from ..dynamics.buffer import BufferConfig, TransitionBuffer
from ..dynamics.compiled import correction
from ..dynamics.features import MAX_TRANSPORT_DELAY, input_size
from ..dynamics.first_order import typical
from ..dynamics.identification import clock, limits, second_order, slip, transport
from ..dynamics.identification.error_models import TYPICAL, pushes
from ..dynamics.observer import errors_of
from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions
from ..weights.meta_model import MetaModel
from .actuation import Actuation
from .adapters import Adaptation, make_adapter
from .adapters.physics import PhysicsAdapter
from .answers import AFRESH, Answers, believed
from .attempt import Attempt, Decision
from .change import ChangeDetector, newest_regime
from .config import OnlineConfig as OnlineConfig
from .drive_guard import DriveGuard
from .evidence import Evidence, Installed, contradictory
from .guard import (
    UNANSWERED,
    Verdict,
    extrapolation,
    implausible,
    judge,
    prediction_error,
    split,
    surely_worse,
)  # fmt: skip
from .population import Population

PUSH_MEMORY = 30  # transitions before a step that tell of the push on it
BEGIN_WITH_BANK = ("physics+maml",)  # adapters beside which a robot of the bank may serve
PERIOD = 10  # new transitions that an adapter looks at, whatever the bank says
STAMP = 1e-6  # [s] by which differences of stamps are rounded
HALF = 0.5  # margin, to a prior that drives well, of what knows nothing of speed loops: less is no use
WORSE = 1.1  # what serves is rolled back when it errs by more than this times what it replaced
PATIENCE = 3  # attempts in a row that find so, or one with data enough to be sure


class OnlineAdaptation:
    """Not thread-safe. Time enters only through the stamps of its inputs.

    Args:
        meta: starting point.
        config: settings.
    """

    def __init__(self, meta: MetaModel, config: OnlineConfig) -> None:
        self.config = config
        self._own = self.adapter = make_adapter(config.adapter, meta, config.sgd)
        self._understudy = self._own if believed(self._own) else PhysicsAdapter(meta)
        self.buffer = TransitionBuffer(
            BufferConfig(
                delay_taps=meta.delay_taps,
                older=MAX_TRANSPORT_DELAY,
                model_dt=meta.model_dt,
                size=config.buffer_size,
                limits=config.limits,
            )
        )
        self._answers = Answers(meta)
        self._drive = DriveGuard()
        with_bank = self.adapter.name in BEGIN_WITH_BANK and config.meta_samples > 0
        self._population = Population(meta.model_dt, with_bank)
        self.evidence = Evidence(config.twist_source, config.limits)
        self._installed = Installed()
        self._take_back: str = ""  # why what serves is to be replaced by what served before
        self._before: ResidualWeights | None = None
        self._newest, self._tried = -np.inf, np.inf  # stamps of odometry: the newest, and at an attempt
        self._meta_weights = self.adapter.start()
        self._prior = ResidualWeights.prior(meta.delay_taps, meta.model_dt)
        self._typical = typical(meta.model_dt)
        self._actuation = Actuation(meta)
        self._serving: ResidualWeights | None = None
        self._previous: ResidualWeights | None = None
        self._offered: ResidualWeights | None = None
        self._detector = ChangeDetector()
        self._meta = meta
        self._warm = self._afresh = False
        self._untouched = True  # nothing was tried with what serves now
        self._implausible = 0  # attempts in a row that found what no robot does
        self._doubts = 0  # attempts in a row that found what serves worse than what it replaced
        self._last_total = self._last_count = 0
        self.changes_detected = 0

    def warm_up(self) -> None:
        """Compile and touch all that an attempt needs, so that the first is as fast as the rest."""
        meta, count = self._meta, 2 * max(second_order.FEWEST, transport.FEWEST, clock.FEWEST)
        ramp = np.linspace(0.0, 1.0, count)
        data = Transitions(
            stamps=ramp,
            states=np.repeat(ramp[:, None], 5, axis=1),
            commands=np.repeat(ramp[:, None], 2, axis=1),
            history=np.zeros((count, meta.delay_taps + MAX_TRANSPORT_DELAY, 2)),
            next_states=np.repeat(ramp[:, None], 5, axis=1),
            segments=np.zeros(count, dtype=int),
            model_dt=meta.model_dt,
        )
        acting = data.delayed(self._prior)
        # Some adapters remember: another instance than the one that serves.
        weights = make_adapter(self.config.adapter, meta, self.config.sgd).adapt(acting).weights
        weights = attrs.evolve(weights, error_model=TYPICAL)
        swinging = attrs.evolve(weights, momentum=np.full(2, 0.5))
        second_order.warm_up(meta.physics.servo, acting.inputs, acting.residuals, acting.first)
        judge(weights, self._meta_weights, swinging, data, self.config.guard)
        transport.transport_delay(data, meta.delay_taps)
        for known in (UNLIMITED, np.full((2, 2), 0.1)):
            limits.find(acting, meta.physics.servo, meta.physics.noise, known)
        clock.earliness(data)
        slip.with_slip(weights, acting)
        implausible(weights, data)
        self._answers.warm_up(weights, acting, data, self._prior)
        extrapolation(weights, data, self.config.limits)
        newest_regime(meta.physics, acting, TYPICAL)
        other = OnlineAdaptation(meta, self.config)
        for k in range(8):
            other._serving = swinging if k % 2 else weights
            stamp = k * meta.model_dt
            other.add_odometry(Odometry(stamp, np.full(3, 0.1 * stamp), np.full(2, 0.1 * (k > 0))))
            other.add_command(stamp, (0.1, 0.1))

    @property
    def samples(self) -> int:
        """Usable transitions in the buffer."""
        return len(self.buffer)

    @property
    def samples_excluded(self) -> int:
        """Transitions and messages left out since the start."""
        return sum(self.buffer.excluded.values())

    @property
    def due(self) -> bool:
        """Whether an attempt is to be made now; asked after each odometry.

        After ``adapt_interval`` in any case. Before, as soon as the data have grown enough since the last
        attempt, theta* can be judged or another robot of the bank is likelier; and at once when what serves
        was learned from what is not to be believed.
        """
        if self._take_back:
            return self._offered is None
        return self._waited(self.config.adapt_interval) or self._adapts or self._another_of_bank

    def _waited(self, interval: float) -> bool:
        return self._newest - self._tried >= interval - STAMP

    @property
    def _another_of_bank(self) -> bool:
        return self._population.due and len(self.buffer) > 0 and not self.evidence.objection

    @property
    def _adapts(self) -> bool:
        """Whether the data have grown enough for the adapter."""
        if self.evidence.objection:
            return False
        count = len(self.buffer)
        if count < self._needed:
            return self._untouched and count >= self.config.meta_samples > 0
        if not self._waited(self.config.min_adapt_interval):
            return False
        return self.buffer.total >= self._last_total + max(1, self.config.growth * self._last_count)

    @property
    def _fine(self) -> float:
        return 0.0 if believed(self.adapter) else HALF

    @property
    def _needed(self) -> int:
        needed = self.config.min_samples if self._warm else self.config.warmup_samples
        return max(needed, AFRESH[not believed(self.adapter)]) if self._afresh else needed

    @property
    def serving(self) -> ResidualWeights | None:
        """What the controller is known to run; None for the kinematic prior."""
        return self._serving

    def add_command(self, stamp: float, command: ArrayLike) -> None:
        """A command (v, omega) in force from ``stamp`` [s]."""
        self.evidence.add_command(stamp, np.asarray(command, dtype=float))
        self.buffer.add_command(stamp, command)

    def add_tracking(self, error: float) -> None:
        """How far the robot is from where the controller wants it [m], once a control period while driven."""
        if believed(self.adapter) or not self._drive.add(self._newest, error):
            return
        if not (self._take_back or self.evidence.objection):
            self._drive.relieve(self._newest)
            self._before, self._take_back = self._prior, "the robot strays by what serves"
            self._choose_adapter()

    def _choose_adapter(self) -> None:
        """The physics layer stands in for what the robot strayed by, and where the twist is the pose's rate.

        That is late, which other adapters take for the robot, in what they learn and in what they predict.
        """
        relieved = self.evidence.twist.replaced or self._drive.relieved(self._newest)
        wanted = self._understudy if relieved else self._own
        if wanted is self.adapter:
            return
        self.adapter = wanted
        self._untouched = False
        if wanted is self._own:
            self.buffer.clear()
            self._afresh = True
        self._last_total, self._last_count = self.buffer.total - len(self.buffer), 0

    def add_odometry(self, sample: Odometry, continuous: bool = True) -> bool:
        """A checked odometry sample; True when a change was detected and an attempt is due at once.

        Args:
            sample: in the order of stamps.
            continuous: the robot drove here from the sample before.
        """
        self._newest = sample.stamp
        self._tried = min(self._tried, self._newest)
        given = self.evidence.take(sample, continuous)
        if np.isfinite(since := self.evidence.untrusted_since):
            self.distrust(since, self.evidence.remark)
        self._choose_adapter()
        if given is None:
            return False
        done = self.buffer.add_odometry(given)
        if done:
            self._population.follow(self.buffer.latest(done), self.buffer.total)
        if not done or self._serving is None or self.evidence.objection:
            return False
        errors = self._innovations(self._serving, done)
        changed = [self._detector.update(error) for error in errors]  # every one has to be counted
        return any(changed) and self._new_regime()

    def _innovations(self, serving: ResidualWeights, count: int) -> Array:
        """Of the newest transitions: one-step errors of what serves beyond the push, shape (count, 2)."""
        known = self.buffer.latest(count + PUSH_MEMORY)
        errors = errors_of(serving, known)
        if any(map(any, serving.error_model[1:].tolist())):
            errors -= pushes(errors, known.first, serving.error_model)[:-1]
        return errors[-count:]

    def _new_regime(self) -> bool:
        """Drop what an earlier robot or floor made, if the data tell of one."""
        errors = self._serving.error_model if self._serving is not None else None
        kept = newest_regime(self._meta.physics, self._actuation.without(self.buffer.latest()), errors)
        if kept == len(self.buffer):
            self._detector.new_model()
            return False
        self.changes_detected += 1
        self._population.restart(self.buffer.latest(), kept)
        self.buffer.keep_newest(kept)
        self._detector.restart()
        self._last_count = 0
        return True

    def distrust(self, since: float, why: str) -> None:
        """What came from ``since`` [s] on is not to be believed: data and weights learned from it go."""
        self.evidence.untrusted_since = np.inf
        self.buffer.drop_since(since)
        self._detector.restart()
        self._last_total, self._last_count = self.buffer.total, 0
        self._afresh = True
        if self._drive.unsettle(since):
            self._take_back = ""
        before = self._installed.before(since)
        self._population.doubt(before)
        if before is not self._serving:
            self._before, self._take_back = before, why

    def set_emergency_stop(self, pressed: bool) -> None:
        """Whether an emergency stop is pressed."""
        self.evidence.set_emergency_stop(pressed)
        if np.isfinite(since := self.evidence.untrusted_since):
            self.distrust(since, self.evidence.remark)

    def reset(self) -> None:
        """Forget the data, as after a jump of the clock; what serves goes on serving."""
        self.buffer.reset()
        self._actuation.reset()
        self.evidence.reset()
        self._drive.reset()
        self._detector.restart()
        self._population.reset()

    def forget_serving(self) -> None:
        """Something else serves than was installed, as after a restart: take it for the prior."""
        self._serving = self._previous = self._offered = None
        self._installed.clear()
        self._population.forget_serving()
        self._take_back = ""
        self._last_count, self._untouched = 0, True
        self._detector.restart()

    def attempt(self) -> Attempt:
        """Adapt a copy from theta*, judge it on held-out data, refit on all of it.

        Where a robot of the bank is likelier, that is offered instead.
        """
        bank, guard = self._population, self.config.guard
        fresh = self.buffer.total - self._last_total
        grown, self._tried = self._adapts, self._newest
        if self._another_of_bank and 0 < fresh < PERIOD and not (self._take_back or grown):
            nothing = Attempt(Decision.REJECTED_HELD_OUT, "no robot of the bank is better than the prior")
            found = bank.offer(nothing, "a likelier robot of the bank", self.buffer.latest(), guard)
            self._offered = found.weights
            return found
        found = self._attempt()
        if self._take_back or found.decision == Decision.SKIPPED_NOT_TRUSTED:
            return found
        settled = bank.settle(found, self.buffer.latest(), self.buffer.total, guard)
        if settled is not found:
            self._offered = settled.weights
        return settled

    def _attempt(self) -> Attempt:
        started = time.perf_counter()
        if objection := self._objection():
            return objection
        c, count = self.config, len(self.buffer)
        if count < self._needed:
            if self._untouched and count >= self.config.meta_samples > 0:
                return self._meta_attempt(started)
            return Attempt(
                Decision.SKIPPED_TOO_FEW_SAMPLES, f"{count} usable transitions, {self._needed} are needed"
            )
        if self.buffer.total == self._last_total:
            return Attempt(Decision.SKIPPED_NO_EXCITATION, "no usable transition since the last attempt")
        self._warm, self._afresh = True, False
        if count >= 2 * c.min_samples and self._new_regime():
            count = len(self.buffer)
        self._last_total, self._last_count = self.buffer.total, count
        self._untouched = False
        data = self.buffer.latest()
        train, held, lead = split(data, c.guard)
        acting, unlimited = self._actuation.look(data)
        trial = self._adapt(unlimited[: len(train)], acting[: len(train)], train)
        verdict = judge(trial.weights, self._meta_weights, self._serving, held, c.guard, lead, self._fine)

        def outcome(
            decision: Decision,
            reason: str,
            weights: ResidualWeights | None = None,
            adaptation: Adaptation = trial,
        ) -> Attempt:
            ms = 1e3 * (time.perf_counter() - started)
            return Attempt(decision, reason, weights, adaptation, verdict, ms)

        if not np.isfinite([trial.loss_before, trial.loss_after]).all():
            return outcome(Decision.REJECTED_NOT_FINITE, "the training loss is not finite")
        if not verdict.accepted:
            return self._fall_back(unlimited, data, held, lead, verdict, outcome)
        final = self._adapt(unlimited, acting, data)
        inputs = acting.inputs[:, : input_size(final.weights.delay_taps)]
        largest = np.abs(correction(final.weights, inputs)[:, :2]).max()
        if not largest <= c.guard.max_correction:
            reason = f"predicts a correction of {largest:.3g}, at most {c.guard.max_correction:g} is allowed"
            return outcome(Decision.REJECTED_NORM, reason, None, final)
        reason = implausible(final.weights, data)
        self._implausible = self._implausible + 1 if reason else 0
        if reason:
            # By the prior it is told enough to leave the dead band, and data that make no robot tell of none.
            worse = reason == UNANSWERED or verdict.current > verdict.prior
            stuck = self._implausible >= PATIENCE and worse and self._serving is not self._prior
            if self._serving is not None and (stuck or implausible(self._serving, data)):
                self._implausible = 0
                self._offered = self._prior
                again = f"{PATIENCE} times in a row" if stuck else "what serves, too"
                return outcome(Decision.ROLLED_BACK, f"{again}: {reason}", self._prior, final)
            return outcome(Decision.REJECTED_NORM, reason, None, final)
        share = extrapolation(final.weights, data, c.limits)
        if not share <= c.guard.max_extrapolation:
            reason = f"corrects a steady drive by {share:.3g} of the fastest, where the data do not reach"
            reason += f"; at most {c.guard.max_extrapolation:g} is allowed"
            return outcome(Decision.REJECTED_NORM, reason, None, final)
        self._offered = final.weights
        return outcome(Decision.ACCEPTED, verdict.reason, final.weights, final)

    def _adapt(self, unlimited: Transitions, acting: Transitions, data: Transitions) -> Adaptation:
        """What the adapter makes serves with the limits, the transport delay and the slip of the data.

        Args:
            unlimited: what the adapter sees: commands when they act, and ends as they were without limits.
            acting: commands when they act.
            data: as driven.
        """
        found = self._actuation.serve(self.adapter.adapt(unlimited), acting)
        return self._answers.limit(self.adapter, found, unlimited, data, self._actuation.known)

    def _objection(self) -> Attempt | None:
        """An attempt that takes weights back, or says why none is made; None when one may be."""
        data = self.buffer.latest()
        if self.evidence.look_at_clock(data):
            if self.evidence.clock.lead > 0.0:
                first = np.flatnonzero(data.first)[-1]
                self._before = self._installed.before(float(data.stamps[first]))
                self._take_back = self.evidence.objection if self._before is not self._serving else ""
            else:
                self.buffer.clear()
        if self._take_back:
            self._offered = self._before if self._before is not None else self._prior
            return Attempt(
                Decision.ROLLED_BACK, f"what served before again: {self._take_back}", self._offered
            )
        if why := self.evidence.objection:
            return Attempt(Decision.SKIPPED_NOT_TRUSTED, why)
        if not self.evidence.twist.replaced and contradictory(data):
            self._last_total = self.buffer.total
            return Attempt(Decision.SKIPPED_NOT_TRUSTED, "twist and pose of the newest odometry disagree")
        return None

    def _meta_attempt(self, started: float) -> Attempt:
        """theta* as it is: it has seen none of the data, so that all of them judge it."""
        self._untouched = False
        data = self.buffer.latest()
        guard = attrs.evolve(self.config.guard, min_held_out=1)
        verdict = judge(self._meta_weights, self._meta_weights, self._serving, data, guard, fine=self._fine)
        ms = 1e3 * (time.perf_counter() - started)
        if not verdict.accepted:
            return Attempt(Decision.REJECTED_HELD_OUT, f"theta*: {verdict.reason}", None, None, verdict, ms)
        self._offered = self._meta_weights
        reason = f"theta* until it can be adapted: {verdict.reason}"
        return Attempt(Decision.ACCEPTED, reason, self._meta_weights, None, verdict, ms)

    def _fall_back(
        self, unlimited: Transitions, data: Transitions, held: Transitions, lead: int, verdict: Verdict,
        outcome: Callable[..., Attempt],
    ) -> Attempt:  # fmt: skip
        """A rejected candidate; when what serves is worse than what it replaced, take it back as well.

        What nothing was learned for is the kinematic prior or the typical robot, whichever predicts the data.
        """
        options = [(verdict.prior, self._prior, "the prior")]
        if not self.evidence.twist.replaced:  # the prior alone predicts from no measured twist
            error, _ = prediction_error(self._typical, held, lead=lead)
            options.append((error, self._typical, "the typical robot"))
        astray = self._answers.astray(self.adapter, self._serving, unlimited, data, self._actuation.known)
        if self._previous is not None and not astray:
            error, _ = prediction_error(self._previous, held, lead=lead)
            options.append((error, self._previous, "the earlier weights"))
        error, best, name = min(
            (o for o in options if np.isfinite(o[0])), key=lambda o: o[0], default=options[0]
        )
        if astray and best is not self._serving:
            self._offered = best
            reason = f"what serves does not answer commands as the robot does: back to {name}"
            return outcome(Decision.ROLLED_BACK, reason, best)
        # A serving model without a finite error is worse than anything.
        if self._serving is None or not np.isfinite(error) or verdict.current <= WORSE * error:
            self._doubts = 0
            return outcome(Decision.REJECTED_HELD_OUT, verdict.reason)
        self._doubts += 1
        unsure = np.isfinite(verdict.current) and not surely_worse(self._serving, best, held, lead)
        if unsure and self._doubts < PATIENCE:
            return outcome(Decision.REJECTED_HELD_OUT, verdict.reason)
        self._offered = best
        errors = f"{verdict.current:.3g} m^2 on fresh data, {name} by {error:.3g}"
        return outcome(Decision.ROLLED_BACK, f"what serves errs by {errors}: back to {name}", best)

    def doubt_commands(self, stamp: float) -> None:
        """See :meth:`.buffer.TransitionBuffer.doubt_commands`."""
        self.buffer.doubt_commands(stamp)

    def installed(self) -> None:
        """The controller has installed the last offer."""
        if self._offered is not None:
            self._previous, self._serving, self._offered = self._serving, self._offered, None
            if self._take_back:
                self._previous, self._take_back = None, ""
                self._serving = self._before
            self._installed.add(self._newest, self._serving)
            self._doubts = 0
            self._detector.new_model()

    def refused(self) -> None:
        """The controller has refused the last offer, or could not be asked."""
        self._offered = None
