"""Bases as firmware makes them."""

import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.experiments.oracle import Oracle, OracleModel
from mppi_maml_ros.mppi.rollouts.base import RolloutRequest, Trajectories
from mppi_maml_ros.simulation.firmware import simulate_firmware
from mppi_maml_ros.simulation.firmware_parameters import (
    FIRMWARE_HIGH,
    FIRMWARE_LOW,
    FIRMWARE_PARAMETERS,
    INDEX,
    FirmwareParameters,
)
from mppi_maml_ros.simulation.firmware_world import FirmwareChange, FirmwareWorld
from mppi_maml_ros.simulation.firmware_worlds import (
    FAMILIES,
    FIRMWARE_WORLDS,
    TEST_FAMILIES,
    TRAINING_FAMILIES,
    draw_bases,
    ranges_of,
)
from mppi_maml_ros.simulation.worlds import ALL_WORLDS, WORLD_GROUPS, WORLD_NAMES, describe_world, make_world

DT = 0.05
SINGLE = tuple(name for name in FIRMWARE_WORLDS if name != "firmware")


def wander(steps: int = 200) -> np.ndarray:
    """Commands with reversals, stops and jumps of each axis on its own."""
    t = np.arange(steps)
    v, omega = 0.6 * np.sin(t / 20), np.sin(t / 33)
    return np.column_stack([np.where(t % 47 < 5, 0.0, v), np.where(t % 61 < 9, 0.0, omega)])


def follow(world, commands) -> np.ndarray:
    """True states before the first and after each command."""
    states = [world.state]
    for command in commands:
        world.step(command, DT)
        states.append(world.state)
    return np.array(states)


def hold(command, steps: int = 100, **parameters) -> np.ndarray:
    return follow(FirmwareWorld(FirmwareParameters(**parameters)), np.tile(command, (steps, 1)))


# -- one effect at a time -------------------------------------------------------------------------


@pytest.mark.parametrize("axis, command", [("v", (1.0, 0.0)), ("omega", (0.0, 1.0))])
@pytest.mark.parametrize("damping", [0.2, 0.4, 0.7])
@pytest.mark.parametrize("frequency", [3.0, 12.0])
def test_a_speed_loop_overshoots_as_its_damping_says(axis, command, damping, frequency):
    named = {f"damping_{axis}": damping, f"frequency_{axis}": frequency}
    world = FirmwareWorld(FirmwareParameters(**named))
    peak = 0.0
    for _ in range(400):
        world.step(command, 0.01)
        peak = max(peak, world.state[3 if axis == "v" else 4])
    expected = math.exp(-math.pi * damping / math.sqrt(1.0 - damping**2))
    assert peak - 1.0 == pytest.approx(expected, abs=0.01)
    assert world.state[4 if axis == "v" else 3] == 0.0


def test_a_ramp_keeps_its_limits_and_slows_down_at_its_own():
    world = FirmwareWorld(
        FirmwareParameters(speed_up_v=0.5, slow_down_v=1.5, frequency_v=40.0, damping_v=1.0)
    )
    states = follow(world, [(1.0, 0.0)] * 60 + [(-1.0, 0.0)] * 80)[:, 3]
    rate = np.diff(states) / DT
    assert rate.max() <= 0.5 + 1e-9 and rate.min() >= -1.5 - 1e-9
    assert rate[10:30] == pytest.approx(0.5, abs=1e-3)
    assert rate[63:70] == pytest.approx(-1.5, abs=0.02)
    assert rate[80:100] == pytest.approx(-0.5, abs=0.01)  # past zero it speeds up again, backwards


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.12, 0.31, 0.8])
def test_each_axis_has_its_own_delay(delay):
    states = hold((1.0, 1.0), 40, delay_v=delay, delay_omega=0.2)
    for column, expected in ((3, delay), (4, 0.2)):
        first = int(np.flatnonzero(states[:, column] > 0.0)[0])
        assert (first - 1) * DT <= expected + 1e-9 < first * DT + 1e-9


def test_the_dead_band_has_hysteresis():
    world = FirmwareWorld(FirmwareParameters(dead_v=0.1, hysteresis=0.5))
    rising = [follow(world, [(u, 0.0)] * 40)[-1, 3] for u in (0.05, 0.0999, 0.11)]
    falling = [follow(world, [(u, 0.0)] * 40)[-1, 3] for u in (0.09, 0.051, 0.049, 0.09)]
    assert rising == pytest.approx([0.0, 0.0, 0.06], abs=1e-3)
    assert falling == pytest.approx([0.04, 0.001, 0.0, 0.0], abs=5e-4)


def test_a_weak_base_reaches_its_share_on_each_axis():
    assert hold((1.0, 1.0), gain_v=0.3, gain_omega=0.7)[-1, 3:] == pytest.approx([0.3, 0.7], abs=1e-3)


def test_commands_are_rounded_to_their_steps():
    assert hold((0.52, 0.26), quantum_v=0.08, quantum_omega=0.2)[-1, 3:] == pytest.approx(
        [0.56, 0.2], abs=1e-3
    )


def test_motors_give_no_more_than_their_torque_and_a_load_off_the_axle_pulls_forward_in_a_turn():
    rate = np.diff(hold((1.5, 0.0), torque_v=0.5)[:, 3]) / DT
    assert rate.max() == pytest.approx(0.5, abs=1e-9)
    plain, loaded = (hold((0.5, 1.0), 10, axle_offset=e)[1:6, 3] for e in (0.0, 0.2))
    assert (loaded[2:] > plain[2:]).all()


def test_a_skid_steered_base_turns_less_the_tighter_and_the_faster_and_sticks_in_place():
    skid = {"turn_loss": 0.4, "turn_knee": 1.0, "understeer": 0.2}
    wide, tight = (hold((v, 0.5), **skid)[-1, 4] for v in (0.5, 0.1))
    assert tight < wide < 0.5
    assert hold((1.5, 0.5), understeer=0.2)[-1, 4] == pytest.approx(0.5 / (1.0 + 0.2 * 1.5**2), abs=1e-3)
    assert hold((0.0, 0.1), scrub=0.12)[-1, 4] == 0.0
    assert hold((0.5, 0.1), scrub=0.12)[-1, 4] > 0.05  # rolling, it breaks loose
    assert abs(hold((0.0, 0.5), icr=0.1)[:, 1]).max() > 0.05


def test_a_caster_kicks_when_the_direction_reverses():
    world = FirmwareWorld(FirmwareParameters(caster_kick=6.0, frequency_omega=5.0))
    forward = follow(world, [(0.5, 0.02)] * 100)
    backward = follow(world, [(-0.5, 0.02)] * 60)
    settled = np.abs(forward[60:, 4] - 0.02).max()
    assert np.abs(backward[:, 4] - 0.02).max() > 5.0 * settled + 0.1
    assert abs(backward[-1, 4] - 0.02) < 0.05


def test_an_echo_repeats_the_command_while_the_pose_is_true():
    world = FirmwareWorld(FirmwareParameters(echo=1.0, gain_v=0.5, frequency_v=3.0))
    apart = 0.0
    for command in wander(60):
        observed = world.step(command, DT)
        apart = max(apart, abs(world.state[3] - command[0]))
        np.testing.assert_array_equal(observed[3:], command)
        np.testing.assert_allclose(observed[:3], world.state[:3])
    assert apart > 0.2


def test_coarse_odometry_comes_rarely_late_and_rounded_and_says_how_old_it_is():
    parameters = FirmwareParameters(
        odometry_rate=10.0, odometry_jitter=0.3, odometry_late=2.0, encoder_v=0.02, encoder_omega=0.05
    )
    world = FirmwareWorld(parameters, seed=3)
    states, ages, stamps = [world.state], [], []
    for i, command in enumerate(wander()):
        observed = world.step(command, DT)
        states.append(world.state)
        ages.append(world.odometry_age)
        stamps.append(round(world.time - world.odometry_age, 9))
        at = stamps[-1] / DT
        before = min(int(at), i)
        expected = states[before] + (at - before) * (states[before + 1] - states[before])
        np.testing.assert_allclose(observed[:2], expected[:2], atol=1e-9)
        assert np.abs(observed[3:] - expected[3:]).max() <= 0.025 + 1e-9
        np.testing.assert_allclose(
            observed[3:] / (0.02, 0.05), np.round(observed[3:] / (0.02, 0.05)), atol=1e-9
        )
    assert (np.diff(stamps) >= 0.0).all()
    assert len(set(stamps)) == pytest.approx(100, abs=5)
    assert 0.15 < np.median(ages[20:]) < 0.3 and max(ages) < 0.2 + 0.1 * 1.6 + DT


# -- every family ---------------------------------------------------------------------------------


def test_all_names_are_known_and_the_older_ones_keep_their_group():
    assert ALL_WORLDS == (*WORLD_NAMES, *FIRMWARE_WORLDS)
    assert WORLD_GROUPS == {"all": WORLD_NAMES, "firmware_bases": FIRMWARE_WORLDS}
    assert len(FIRMWARE_WORLDS) == 11 and all(len(describe_world(name)) > 30 for name in FIRMWARE_WORLDS)
    with pytest.raises(InvalidValueError, match="skid_steer"):
        make_world("nowhere")


def test_every_family_is_for_training_or_for_testing_and_combinations_are_for_testing():
    assert set(TRAINING_FAMILIES) | set(TEST_FAMILIES) == set(FAMILIES)
    assert not set(TRAINING_FAMILIES) & set(TEST_FAMILIES)
    assert "firmware" in TEST_FAMILIES and TRAINING_FAMILIES


@pytest.mark.parametrize("name", FIRMWARE_WORLDS)
def test_the_same_seed_repeats_a_run_to_the_bit_and_another_draws_another(name):
    def observed(seed, again=False):
        world = make_world(name, seed)
        if again:
            follow(world, wander(40))
            world.reset()
        return np.array([(world.step(u, DT), world.state) for u in wander()])

    run = observed(1)
    assert np.isfinite(run).all() and np.abs(run[..., 3:]).max() < 6.0
    np.testing.assert_array_equal(run, observed(1))
    np.testing.assert_array_equal(run, observed(1, again=True))
    assert np.abs(run - observed(2)).max() > 1e-3


@pytest.mark.parametrize("name", FIRMWARE_WORLDS)
def test_every_world_changes_near_the_middle_of_its_run(name):
    world = make_world(name, 4, duration=20.0)
    (change,) = world.disturbances
    assert 8.0 <= change.at <= 12.0 and change.values
    before = world.current_parameters()
    while world.time < change.at - 1e-6:
        assert world.current_parameters() == before
        world.step((0.3, 0.1), DT)
    after = world.current_parameters()
    assert {n for n in FIRMWARE_PARAMETERS if getattr(before, n) != getattr(after, n)} == set(change.values)


@pytest.mark.parametrize("name", SINGLE)
def test_a_family_draws_within_its_ranges_and_covers_them(name):
    drawn = draw_bases(np.random.default_rng(0), (name,), 300, 2)
    assert ((FIRMWARE_LOW <= drawn) & (drawn <= FIRMWARE_HIGH)).all()
    for parameter, (low, high) in FAMILIES[name].ranges.items():
        values = (
            np.abs(drawn[..., INDEX[parameter]])
            if parameter == "axle_offset"
            else drawn[..., INDEX[parameter]]
        )
        assert low <= values.min() and values.max() <= high
        assert values.max() - values.min() >= 0.9 * (high - low)


def test_combinations_hold_several_families_and_no_family_is_unknown():
    rng = np.random.default_rng(0)
    found = [set(ranges_of("firmware", rng)) for _ in range(50)]
    holding = [sum(set(FAMILIES[n].ranges) <= names for n in SINGLE) for names in found]
    assert min(holding) >= 2
    with pytest.raises(InvalidValueError, match="skid_steer"):
        draw_bases(rng, ("nowhere",), 1)
    with pytest.raises(InvalidValueError, match="at least one"):
        draw_bases(rng, (), 1)


@pytest.mark.parametrize("name", FIRMWARE_WORLDS)
def test_the_compiled_batch_equals_single_stepping(name):
    world = make_world(name, 5, duration=10.0)
    (change,) = world.disturbances
    first = world.parameters.as_vector()
    second = first.copy()
    for parameter, value in change.values.items():
        second[INDEX[parameter]] = value
    commands = wander()
    starts = np.array([[0, round(change.at / DT)]])
    true, _ = simulate_firmware(
        np.stack([first, second])[None], commands[None], DT, np.array([5]), starts=starts
    )
    states = follow(world, commands)
    true[0, :, 2] += np.round((states[:, 2] - true[0, :, 2]) / (2 * np.pi)) * 2 * np.pi
    np.testing.assert_allclose(true[0], states, atol=1e-7)


def test_what_a_batch_observes_of_plain_odometry_is_what_a_world_reports():
    parameters = attrs.evolve(make_world("weak", 2).parameters, odometry_late=0.0)
    world, commands = FirmwareWorld(parameters, 2), wander()
    reported = np.array([world.odometry(), *(world.step(u, DT) for u in commands)])
    _, observed = simulate_firmware(parameters.as_vector()[None], commands[None], DT, np.array([2]))
    np.testing.assert_allclose(observed[0], reported, atol=1e-9)


def test_what_a_batch_observes_of_rare_odometry_is_near_the_truth():
    bases = draw_bases(np.random.default_rng(1), ("coarse",), 5)
    true, observed = simulate_firmware(bases, np.tile(wander(), (5, 1, 1)), DT, np.arange(5))
    assert np.abs((observed - true)[:, :-10, :2]).max() < 0.05
    assert 0.003 < np.abs((observed - true)[:, :-10, 3]).mean() < 0.05


@pytest.mark.parametrize("name", FIRMWARE_WORLDS)
def test_the_oracle_predicts_the_noise_free_world_over_its_horizon(name):
    world = make_world(name, 6, noise_scale=0.0, duration=40.0)
    commands = wander(120)
    for command in commands[:80]:
        world.step(command, DT)
    ahead = commands[80:110]
    out = Trajectories(len(ahead), 1)
    start = world.state
    request = RolloutRequest(np.ascontiguousarray(ahead[:, :, None]), DT, state=start)
    Oracle(world).rollout(request, out)
    states = follow(world, ahead)[1:]
    np.testing.assert_allclose(np.column_stack([out.v, out.omega]), states[:, 3:], atol=1e-6)
    cos, sin = np.cos(start[2]), np.sin(start[2])
    dx, dy = (states[:, :2] - start[:2]).T
    np.testing.assert_allclose(out.x[:, 0], cos * dx + sin * dy, atol=1e-6)
    np.testing.assert_allclose(out.y[:, 0], cos * dy - sin * dx, atol=1e-6)


def test_a_frozen_oracle_keeps_the_equations_and_knows_the_present_state():
    world = FirmwareWorld(disturbances=(FirmwareChange(1.0, {"gain_v": 0.5}),))
    frozen, current = Oracle(world, frozen=True), Oracle(world)
    command = np.full((5, 2, 1), 0.5)
    for steps, same in ((0, True), (60, False)):
        follow(world, [(0.5, 0.5)] * steps)
        outs = [Trajectories(5, 1) for _ in range(2)]
        for oracle, out in zip((frozen, current), outs, strict=True):
            oracle.rollout(RolloutRequest(command, DT, state=world.state), out)
        assert np.array_equal(outs[0].v, outs[1].v) is same
        assert np.array_equal(outs[0].omega, outs[1].omega)


def test_the_oracle_as_a_model_moves_as_a_base_without_delay_does():
    world = make_world("second_order", 1, noise_scale=0.0)
    model = OracleModel(world)
    for command in wander(40):
        predicted = model.step(world.state, command, DT)
        world.step(command, DT)
        np.testing.assert_allclose(predicted, world.state, atol=1e-9)


# -- boundaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [FIRMWARE_LOW, FIRMWARE_HIGH])
@pytest.mark.parametrize("seed", range(3))
def test_parameters_at_their_bounds_stay_finite(bounds, seed):
    rng = np.random.default_rng(seed)
    vector = np.where(rng.random(len(bounds)) < 0.5, bounds, FirmwareParameters().as_vector())
    parameters = FirmwareParameters.from_vector(vector)
    assert np.array_equal(parameters.as_vector(), vector)
    world = FirmwareWorld(parameters, seed)
    for dt in (0.001, 0.05, 0.3, 1.0):
        for command in wander(20):
            assert np.isfinite(world.step(command, dt)).all()
    assert np.isfinite(world.hidden).all()


@pytest.mark.parametrize("name", FIRMWARE_PARAMETERS)
def test_values_out_of_range_are_refused_by_name(name):
    bad = {name: FIRMWARE_HIGH[INDEX[name]] + 1.0}
    for value in (bad, {name: float("nan")}):
        with pytest.raises(InvalidValueError, match=name):
            FirmwareParameters(**value)
    vector = FirmwareParameters().as_vector()
    vector[INDEX[name]] = bad[name]
    with pytest.raises(InvalidValueError, match=name):
        simulate_firmware(vector[None], np.zeros((1, 3, 2)), DT, np.array([0]))


@pytest.mark.parametrize(
    "bad, match",
    [
        ({"commands": np.zeros((3, 2))}, "commands"),
        ({"commands": np.full((1, 3, 2), np.nan)}, "commands"),
        ({"dt": 0.0}, "dt"),
        ({"seeds": np.array([-1])}, "seeds"),
        ({"seeds": np.array([0.5])}, "seeds"),
        ({"parameter_matrix": np.zeros((1, 3))}, "parameter_matrix"),
        ({"starts": np.array([[1]])}, "starts"),
        ({"initial_states": np.zeros((2, 5))}, "initial_states"),
        ({"initial_commands": np.full((1, 2), np.inf)}, "initial_commands"),
    ],
)
def test_a_batch_refuses_what_it_cannot_drive(bad, match):
    given = {
        "parameter_matrix": FirmwareParameters().as_vector()[None],
        "commands": np.zeros((1, 3, 2)),
        "dt": DT,
        "seeds": np.array([0]),
    }
    with pytest.raises(InvalidValueError, match=match):
        simulate_firmware(**{**given, **bad})


def test_a_step_refuses_what_is_no_command_or_no_duration():
    world = FirmwareWorld()
    for command, dt in (((np.nan, 0.0), DT), ((0.0, np.inf), DT), ((0.0, 0.0), 0.0), ((0.0, 0.0), 1.5)):
        with pytest.raises(InvalidValueError):
            world.step(command, dt)
