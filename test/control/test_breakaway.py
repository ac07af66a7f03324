"""Robots that stick: commands are raised to where they move, and no robot that obeys is told otherwise."""

import numpy as np
import pytest

from mppi_maml_ros.control.breakaway import MOST, Breakaway
from mppi_maml_ros.core.types import Odometry, VelocityLimits
from mppi_maml_ros.experiments.faulty_drive import drive_faulty
from mppi_maml_ros.safety.blocked import LEAST
from mppi_maml_ros.safety.codes import State
from mppi_maml_ros.simulation.firmware_parameters import FirmwareParameters
from mppi_maml_ros.simulation.firmware_world import FirmwareWorld
from mppi_maml_ros.simulation.firmware_worlds import FAMILIES, draw_base
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

DT = 0.05
LIMITS = VelocityLimits()
NOISE = {"odometry_noise_x": 1e-3, "odometry_noise_y": 1e-3, "odometry_noise_yaw": 1e-3,
         "odometry_noise_v": 0.02, "odometry_noise_omega": 0.02}  # fmt: skip


class Base:
    """A base in its firmware, under commands that :class:`Breakaway` may raise."""

    def __init__(self, seed=0, **parameters):
        self.world = FirmwareWorld(FirmwareParameters(**NOISE, **parameters), seed)
        self.breakaway = Breakaway(LIMITS)
        self.now, self.told, self.way = 0.0, [], np.zeros(2)

    def step(self, wanted):
        seen = self.world.odometry()
        self.breakaway.add_odometry(Odometry(self.now, seen[:3], seen[3:]))
        command = self.breakaway.raised(np.asarray(wanted, dtype=float), DT)
        self.world.step(command, DT)
        self.now += DT
        self.told.append(command)
        self.way += DT * self.world.state[3:]
        return command

    def run(self, wanted, seconds):
        for _ in range(round(seconds / DT)):
            self.step(wanted)
        return np.array(self.told[-round(seconds / DT) :])

    def until_moved(self, wanted, way, patience):
        """Time until it has gone a way on each axis [s]."""
        started, before = self.now, self.way.copy()
        while (np.sign(way) * (self.way - before - way) < 0.0).any():
            assert self.now - started < patience, f"not within {patience} s, told {self.told[-1]}"
            self.step(wanted)
        return self.now - started


@pytest.mark.fault(65)
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize(
    ("axis", "wanted", "dead"), [(0, 0.05, 0.13), (0, 0.04, 0.06), (1, 0.15, 0.85), (1, 0.1, 0.3)]
)
def test_an_axis_that_sticks_is_broken_loose_and_that_is_remembered(axis, wanted, dead, gain, sign):
    base = Base(**{("dead_v", "dead_omega")[axis]: dead}, gain_v=gain, gain_omega=gain)
    wish, way = np.zeros(2), np.zeros(2)
    wish[axis], way[axis] = sign * wanted, sign * (0.02, 0.05)[axis]
    first = base.until_moved(wish, way, 6.0)
    found = base.breakaway.least
    most = dead + (0.07, 0.4)[axis] if gain == 1.0 else MOST[axis]  # which creeps at first
    assert 0.95 * dead <= found[axis] <= most and found[1 - axis] == 0.0
    base.run((0.0, 0.0), 1.0)
    again = base.until_moved(wish, way, 6.0)
    assert again <= min(first - 1.0, 2.0)


@pytest.mark.fault(65)
@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("delay", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("frequency", [4.0, 14.0])
def test_a_robot_that_obeys_gets_the_commands_that_were_chosen(gain, delay, frequency):
    base = Base(gain_v=gain, gain_omega=gain, delay_v=delay, delay_omega=delay, frequency_v=frequency,
                frequency_omega=frequency)  # fmt: skip
    rng = np.random.default_rng(0)
    for _ in range(20):
        wanted = rng.uniform(-1.0, 1.0, 2) * rng.choice([0.0, 0.05, 0.3, 1.0], 2)
        assert (base.run(wanted, rng.uniform(0.2, 3.0)) == wanted).all()
    assert not any(base.breakaway.least)


def test_noise_of_what_is_chosen_moves_nothing():
    base = Base(dead_v=0.13, dead_omega=0.85)
    base.run((0.05, 0.15), 6.0)
    base.run((0.0, 0.0), 1.0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted = rng.normal(scale=[0.03, 0.08])
        assert (base.step(wanted) == wanted).all()


def test_over_time_it_moves_about_as_far_as_is_wanted():
    base = Base(dead_v=0.13, dead_omega=0.85, hysteresis=0.5)
    base.run((0.05, 0.15), 5.0)
    before = base.way.copy()
    base.run((0.05, 0.15), 20.0)
    made = (base.way - before) / [1.0, 3.0]
    assert (0.3 <= made).all() and (made <= 2.0).all()


@pytest.mark.fault(65)
def test_a_robot_that_is_held_is_told_no_more_than_any_dead_band_needs():
    breakaway = Breakaway(LIMITS)
    for k in range(400):
        breakaway.add_odometry(Odometry(k * DT, np.zeros(3), np.zeros(2)))
        told = breakaway.raised(np.array([0.05, 0.1]), DT)
    np.testing.assert_allclose(told, MOST)
    assert not any(breakaway.least), "nothing was learned of a robot that never moved"
    breakaway.hold()
    assert (breakaway.raised(np.array([0.05, 0.1]), DT) == [0.05, 0.1]).all()


def test_what_is_told_of_a_stuck_axis_does_not_make_it_a_blocked_robot():
    assert (np.array(MOST) < LEAST).all()


def test_nothing_is_told_beyond_the_limits():
    breakaway = Breakaway(VelocityLimits(vx_max=0.1, wz_max=0.5))
    for k in range(400):
        breakaway.add_odometry(Odometry(k * DT, np.zeros(3), np.zeros(2)))
        told = breakaway.raised(np.array([0.05, 0.1]), DT)
    assert told[0] <= 0.1 and told[1] <= 0.5


def test_what_is_no_longer_wanted_ends_at_once():
    base = Base(dead_v=0.13, dead_omega=0.85)
    while base.step((0.05, 0.15))[1] < 0.5:
        assert base.now < 6.0
    for wanted in [(0.0, 0.0), (-0.01, -0.02)]:
        assert (base.step(wanted) == wanted).all()


def test_without_odometry_nothing_is_raised():
    assert (Breakaway(LIMITS).raised(np.array([0.05, 0.1]), DT) == [0.05, 0.1]).all()


# The whole drive

HARSHEST = {
    "dead_v": (0.13, 0.13),
    "dead_omega": (0.85, 0.85),
    "gain_v": (0.3, 0.3),
    "gain_omega": (0.3, 0.3),
}
ANY = {**FAMILIES["stiction"].ranges, **FAMILIES["weak"].ranges}


@pytest.fixture(scope="module")
def meta():
    return MetaModel.load(PACKAGED)


@pytest.mark.fault(65)
@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_robots_with_dead_bands_and_low_gains_reach_their_goals(number, meta):
    """Twenty of twenty: every other one with the widest dead bands and lowest gains; all turn at the goal."""
    rng = np.random.default_rng(100 + number)
    start = rng.uniform([-0.3, -0.3, -0.6], [0.3, 0.3, 0.6])
    ranges = {**ANY, **HARSHEST} if number % 2 else ANY
    world = FirmwareWorld(draw_base(rng, ranges), number, start=start)
    x = np.linspace(0.0, 3.0, 61)
    wide, waves = rng.uniform(0.2, 0.6), rng.uniform(0.8, 1.4)
    path = np.column_stack([x, wide * np.sin(waves * x), np.arctan(wide * waves * np.cos(waves * x))])
    path[-1, 2] += rng.choice([-1, 1]) * rng.uniform(0.3, 0.8)
    run = drive_faulty(world, path, (), meta, 60.0, seed=number, yaw_goal_tolerance=0.15)
    assert run.states[-1] is State.GOAL_REACHED, f"{run.states[-1].name}: {run.reasons}"


@pytest.mark.fault(65)
@pytest.mark.parametrize("raised", [True, False])
def test_a_turn_that_a_dead_band_swallows_is_made_all_the_same(raised):
    """At its goal, facing .35 rad away; a model that does not know of the dead band asks for too little."""
    world = FirmwareWorld(FirmwareParameters(dead_v=0.13, dead_omega=0.85, gain_omega=0.5, **NOISE), 1)
    path = np.column_stack([np.linspace(0.0, 0.1, 11), np.zeros(11), np.full(11, 0.35)])
    run = drive_faulty(world, path, (), None, 20.0, break_loose=raised)
    assert (run.states[-1] is State.GOAL_REACHED) == raised
