"""A reference that the robot can follow: by its clock, or by what the robot reaches."""

import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.figure_follower import TimedFollower
from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.control.path_follower import PathFollower
from mppi_maml_ros.control.progress import MotionChecker
from mppi_maml_ros.control.timing import MARGIN, TOLD, Retiming
from mppi_maml_ros.core.types import OdometryMessage, VelocityLimits
from mppi_maml_ros.dynamics.reach import Reach
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.experiments.faulty_drive import drive_faulty
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.references.figures import circle, figure8, straight
from mppi_maml_ros.safety.codes import Code, State
from mppi_maml_ros.simulation.firmware_parameters import FirmwareParameters
from mppi_maml_ros.simulation.firmware_world import FirmwareWorld
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel
from mppi_maml_ros.weights.slot import WeightsSlot

STEPS, DT = 30, 0.05
LIMITS = VelocityLimits()
EIGHT = figure8(size=2.5)  # the node's default: up to .79 m/s and .94 rad/s
NOISE = {"odometry_noise_x": 1e-3, "odometry_noise_y": 1e-3, "odometry_noise_yaw": 1e-3,
         "odometry_noise_v": 0.01, "odometry_noise_omega": 0.01}  # fmt: skip
SETTLED = 5.0  # [s] after which the robot has been learned


def reach(forward=1.0, backward=0.35, turn=1.9, lag=(0.1, 0.1)):
    return Reach(forward, backward, turn, lag, (0.0, 0.0), True)


def follower(reference, timing="auto", known=None, **settings):
    made = TimedFollower(reference, STEPS, DT, retiming=Retiming(timing, LIMITS, 0.1), **settings)
    if known is not None:
        made.learn(known)
    return made


def led(made, seconds, lag=0.0, speed=0.5, start=0.0):
    """Targets of a robot that is always so far behind where it is wanted."""
    targets, pose = [], np.zeros(5)
    for k in range(round(seconds / DT)):
        target = made.target(start + k * DT, pose, DT)
        wanted = target.window[0]
        away = lag * np.array([math.cos(wanted[2]), math.sin(wanted[2]), 0.0])
        pose = np.append(wanted - away, [speed, 0.0])
        targets.append(target)
    return targets


def twists(window):
    step = np.diff(window, axis=0) / DT
    return np.hypot(step[:, 0], step[:, 1]), np.abs(step[:, 2])


# The robot


@pytest.fixture(scope="module")
def meta():
    return MetaModel.load(PACKAGED)


def driven(gain, timing, meta, figure=EIGHT, seconds=25.0, seed=1, **options):
    """A drive, and its distances to the figure's own line [m] from the beginning on."""
    world = FirmwareWorld(FirmwareParameters(gain_v=gain, gain_omega=gain, **NOISE), seed)
    run = drive_faulty(world, figure, (), meta, seconds, seed=seed, timing=timing, **options)
    line = figure.anchored(np.zeros(3)).pose_at(np.linspace(0.0, 40.0, 8001))[:, :2]
    return run, np.array([np.hypot(*(line - pose[:2]).T).min() for pose in run.poses])


def rms(values):
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.fault(64)
@pytest.mark.parametrize("gain", [0.64, 0.3])
def test_a_weak_robot_stays_on_the_figure_and_its_status_says_why_it_is_late(gain, meta):
    run, off = driven(gain, "auto", meta)
    after = run.times > SETTLED
    assert rms(off) <= 0.02 and off[after].max() <= 0.03
    assert run.rmse(SETTLED) <= 0.12, "and it is near where it is wanted, too"
    assert set(run.states[20:]) == {State.RUNNING}
    said = run.reasons[Code.REFERENCE_SLOWED]
    assert "of its speed: the robot reaches at most" in said


@pytest.mark.fault(64)
@pytest.mark.parametrize("gain", [0.64, 0.3])
def test_by_the_clock_it_leaves_the_figure(gain, meta):
    run, off = driven(gain, "clock", meta)
    assert off[run.times > SETTLED].max() > 0.12 and Code.REFERENCE_SLOWED not in run.codes


@pytest.mark.fault(64)
def test_a_weak_robot_of_which_nothing_is_learned_is_waited_for():
    run, off = driven(0.64, "auto", None)
    assert rms(off) <= 0.03 and "behind" in run.reasons[Code.REFERENCE_SLOWED]


@pytest.mark.fault(64)
def test_a_circle_that_asks_for_more_yaw_rate_than_the_robot_has_is_slowed_by_that(meta):
    figure = circle(radius=0.4, speed=0.5)  # 1.25 rad/s, of which the robot has .76
    line = figure.anchored(np.zeros(3)).pose_at(np.linspace(0.0, 6.0, 4001))[:, :2]
    worst = {}
    for timing in ("auto", "clock"):
        world = FirmwareWorld(FirmwareParameters(gain_omega=0.4, **NOISE), 1)
        run = drive_faulty(world, figure, (), meta, 20.0, timing=timing)
        poses = run.poses[run.times > SETTLED]
        worst[timing] = max(np.hypot(*(line - pose[:2]).T).min() for pose in poses)
        assert (Code.REFERENCE_SLOWED in run.codes) == (timing == "auto")
    assert worst["auto"] <= 0.04 < 0.15 < worst["clock"]


@pytest.mark.fault(64)
def test_a_robot_that_can_follow_keeps_to_the_clock(meta):
    by_clock, _ = driven(1.0, "clock", meta, seconds=15.0)
    auto, off = driven(1.0, "auto", meta, seconds=15.0)
    assert Code.REFERENCE_SLOWED not in auto.codes and off.max() <= 0.03
    # It starts from standstill, which the clock does not allow for: half a second at most.
    last = EIGHT.anchored(np.zeros(3)).pose_at(15.0 - np.array([0.0, 0.5]))[:, :2]
    behind = np.hypot(*(last[0] - auto.poses[-1, :2]))
    assert behind <= np.hypot(*(last[0] - last[1])) + 0.05
    assert auto.rmse() <= by_clock.rmse()


# What the rollouts see


@pytest.mark.parametrize("known", [reach(0.5), reach(0.3, lag=(0.4, 0.4)), reach(0.2, 0.1, 0.2)])
@pytest.mark.parametrize("timing", ["auto", "progress"])
def test_the_window_asks_for_no_more_than_the_robot_reaches(known, timing):
    for target in led(follower(EIGHT, timing, known), 30.0)[::7]:
        v, omega = twists(target.window)
        assert v.max() <= known.forward * MARGIN * 1.02 and omega.max() <= known.turn * MARGIN * 1.02


@pytest.mark.parametrize("known", [reach(0.5, lag=(0.5, 0.5)), reach(turn=0.6, lag=(0.3, 0.5)), reach(0.3)])
def test_nor_for_commands_beyond_the_limits_that_a_lag_would_need(known):
    """The command that makes v of a lag is (v + lag dv/dt) / gain."""
    for target in led(follower(EIGHT, "progress", known), 30.0)[20::7]:
        for speed, most, lag in zip(
            twists(target.window), (known.forward, known.turn), known.lag, strict=True
        ):
            assert (speed[1:] + lag * np.diff(speed) / DT).max() <= 1.1 * most


def test_the_clock_goes_on_as_the_window_says():
    targets = led(follower(EIGHT, "progress", reach(0.4)), 10.0)
    for before, after in zip(targets[40:], targets[41:], strict=False):
        np.testing.assert_allclose(after.window[0, :2], before.window[1, :2], atol=2e-3)


def test_a_window_starts_from_the_speed_of_the_robot():
    target = follower(straight(speed=0.8)).target(0.0, np.zeros(5), DT)
    v, _ = twists(target.window)
    assert v[0] < 0.15 and v[-1] == pytest.approx(0.8, abs=0.01) and (np.diff(v) >= -1e-9).all()


def test_by_the_clock_nothing_is_changed_to_the_last_bit():
    plain, clock = TimedFollower(EIGHT, STEPS, DT), follower(EIGHT, "clock", reach(0.2))
    for k in range(50):
        now = k * DT
        np.testing.assert_array_equal(
            plain.target(now, np.zeros(5), DT).window, clock.target(now, np.zeros(5), DT).window
        )


# The clock of the reference


@pytest.mark.fault(64)
def test_a_robot_that_is_held_is_waited_for():
    made = follower(straight(speed=0.5))
    targets = [made.target(k * DT, np.zeros(5), DT) for k in range(200)]
    assert targets[-1].rate < 1e-6 and targets[-1].window[0, 0] == pytest.approx(0.25, abs=0.02)
    assert twists(targets[-1].window)[0].max() == pytest.approx(0.5, abs=0.01), "it is still shown the way"
    assert "behind" in targets[-1].remark


def test_a_robot_beside_the_figure_comes_back_while_it_drives():
    made = follower(straight(speed=0.5))
    led(made, 2.0)
    aside = [
        made.target(2.0 + k * DT, np.array([0.6 + 0.5 * k * DT, 0.5, 0.0, 0.5, 0.0]), DT) for k in range(20)
    ]
    assert 0.25 <= aside[-1].rate <= 0.35


def test_auto_keeps_to_the_clock_again_once_the_robot_can_follow():
    made = follower(straight(speed=0.8), known=reach(0.4))
    slow = led(made, 3.0)[-1]
    made.learn(reach(1.0))
    targets = led(made, 5.0, start=3.0)
    assert slow.rate == pytest.approx(0.5 * MARGIN, abs=0.01) and slow.remark
    assert targets[-1].rate == 1.0 and not targets[-1].remark


def test_auto_does_not_switch_to_and_fro_at_the_edge():
    made = follower(straight(speed=0.5))
    rates = []
    for k in range(200):
        made.learn(reach(0.5 + 0.01 * (-1) ** k))
        rates.append(led(made, DT, start=k * DT)[-1].rate)
    assert len(set(np.round(rates[60:], 1))) == 1 and rates[-1] < 1.0


def test_what_is_told_neither_flickers_nor_comes_with_a_start():
    made = follower(straight(speed=0.8))
    assert not any(target.remark for target in led(made, 3.0))
    made = follower(straight(speed=1.0), known=reach(TOLD * 1.0 / MARGIN))
    told = [bool(target.remark) for target in led(made, 10.0)]
    assert sum(a != b for a, b in zip(told, told[1:], strict=False)) <= 1


def test_a_robot_that_got_stuck_is_wanted_where_it_got_stuck():
    made = follower(straight(speed=0.5), known=reach(0.3))
    there = led(made, 4.0)[-1].window[0, 0]
    stuck = np.array([there, 0.0, 0.0, 0.0, 0.0])
    for k in range(20):
        made.target(4.0 + k * DT, stuck, DT)
    made.retreat(20 * DT)
    assert made.target(6.0, stuck, DT).window[0, 0] == pytest.approx(there, abs=0.02)


def test_a_restart_begins_at_the_beginning():
    made = follower(straight(speed=0.5), known=reach(0.3))
    led(made, 4.0)
    made.restart()
    assert made.target(9.0, np.zeros(5), DT).window[0, 0] == 0.0


@pytest.mark.fault(23)
@pytest.mark.parametrize("required", [0.1, 0.5])
def test_a_robot_that_never_moves_fails_although_its_reference_waits(required):
    made = follower(straight(speed=0.4), motion=MotionChecker(3.0, required))
    halts = [made.target(k * DT, np.zeros(5), DT).halt for k in range(100)]
    assert halts[50] is None and halts[-1].code is Code.FAILED_TO_MAKE_PROGRESS


# Effort


def test_effort_is_counted_from_what_was_learned_until_that_is_switched_off():
    slot, mppi = WeightsSlot(DT), MPPIController(MPPIConfig(batch_size=32), LIMITS, 0)
    config = ControlConfig(reference="circle")
    loop = ControlLoop(config, mppi, slot, straight())

    def per_speed():
        nonlocal now
        for _ in range(8):
            now += DT
            loop.handle_odometry(OdometryMessage.planar(now, np.full(5, 1e-3 * now)), now, now)
            assert np.isfinite(loop.tick(now, now).command).all()
        return mppi.command_per_speed

    now = 100.0
    np.testing.assert_allclose(per_speed(), [1.0, 1.0], rtol=1e-12)
    slot.install(ResidualWeights.first_order((0.1, 0.1), (0.5, 0.4)))
    np.testing.assert_allclose(per_speed(), [2.0, 2.5], rtol=0.01)
    loop.reconfigure(attrs.evolve(config, learned_effort=False))
    np.testing.assert_allclose(per_speed(), [1.0, 1.0], rtol=1e-12)


# Paths

PATH = np.column_stack([np.linspace(0.0, 10.0, 201), np.zeros(201), np.zeros(201)])


def path_speed(known, **settings):
    made = PathFollower(ControlConfig(**settings))
    made.handle_path("odom", PATH)
    if known is not None:
        made.learn(known)
    target = made.target(0.0, np.zeros(5), DT)
    return twists(target.window)[0][0], target


@pytest.mark.fault(64)
def test_a_path_is_driven_no_faster_than_the_robot_reaches():
    speed, target = path_speed(reach(0.3))
    assert speed == pytest.approx(0.3 * MARGIN, abs=0.01) and target.rate == pytest.approx(
        0.6 * MARGIN, abs=0.01
    )
    assert target.remark == "path driven at 51 % of desired_speed: the robot reaches at most 0.30 m/s"


@pytest.mark.parametrize(("known", "timing"), [(None, "auto"), (reach(1.0), "auto"), (reach(0.3), "clock")])
def test_else_at_its_desired_speed(known, timing):
    speed, target = path_speed(known, timing=timing)
    assert speed == pytest.approx(0.5, abs=0.01) and not target.remark and target.rate == 1.0


def test_learning_on_the_way_changes_speeds_but_not_the_progress():
    made = PathFollower(ControlConfig())
    made.handle_path("odom", PATH)
    made.target(0.0, np.array([0.4, 0.0, 0.0, 0.5, 0.0]), DT)
    made.learn(reach(0.3))
    target = made.target(DT, np.array([0.2, 0.0, 0.0, 0.5, 0.0]), DT)
    assert target.remaining == pytest.approx(9.6)
    assert twists(target.window)[0][0] == pytest.approx(0.3 * MARGIN, abs=0.01)


def test_a_path_that_comes_later_is_timed_alike():
    made = PathFollower(ControlConfig())
    made.learn(attrs.evolve(reach(0.3)))
    made.handle_path("odom", PATH)
    assert twists(made.target(0.0, np.zeros(5), DT).window)[0][0] == pytest.approx(0.3 * MARGIN, abs=0.01)
