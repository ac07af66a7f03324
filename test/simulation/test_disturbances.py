import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.simulation.disturbances import (
    BatterySag,
    Combined,
    FrictionPatches,
    FrictionStep,
    Payload,
    Sinusoidal,
    TerrainChange,
    WindGusts,
    friction_at,
)
from mppi_maml_ros.simulation.parameters import WorldParameters
from mppi_maml_ros.simulation.world import DynamicWorld

PROFILES = (WindGusts, TerrainChange, Sinusoidal, Combined)
NOMINAL = WorldParameters(friction_v=0.5, friction_omega=0.3, coulomb=0.2)
STATE = (0.0, 0.0, 0.3, 0.5, 0.1)


def effect(disturbance, time=0.0, state=STATE):
    vector, acceleration = NOMINAL.as_vector(), np.zeros(2)
    disturbance.apply(time, state, vector, acceleration)
    return WorldParameters.from_vector(vector), acceleration


def over_time(disturbance):
    vectors, pushes = [], []
    for time in np.arange(0.0, 20.0, 0.05):
        vector, push = NOMINAL.as_vector(), np.zeros(2)
        disturbance.apply(time, STATE, vector, push)
        vectors.append(vector)
        pushes.append(push)
    return np.array(vectors), np.array(pushes)


def test_friction_steps_at_its_time():
    step = FrictionStep(10.0, 2.5, 1.5)
    assert effect(step, 9.99)[0] == NOMINAL
    assert effect(step, 10.0)[0] == attrs.evolve(NOMINAL, friction_v=2.5, friction_omega=1.5)
    # Time that has been summed up from steps may fall short by rounding.
    assert effect(step, 10.0 - 1e-13)[0].friction_v == 2.5


def test_payload_multiplies_mass_and_inertia_at_its_time():
    load = Payload(5.0, 2.0, 1.5)
    assert effect(load, 4.9)[0] == NOMINAL
    assert effect(load, 5.0)[0] == attrs.evolve(NOMINAL, mass=2.0, inertia=1.5)


def test_battery_sags_linearly_from_its_time_on():
    sag = BatterySag(0.02, at=3.0)
    assert effect(sag, 2.0)[0].battery == 1.0
    assert effect(sag, 8.0)[0].battery == pytest.approx(0.9)


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_of_no_intensity_do_nothing(profile):
    vectors, pushes = over_time(profile(0.0, seed=1))
    assert (vectors == NOMINAL.as_vector()).all() and not pushes.any()


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_grow_in_proportion_to_intensity(profile):
    (weak_vectors, weak), (vectors, strong) = over_time(profile(0.4, seed=1)), over_time(profile(0.8, seed=1))
    np.testing.assert_allclose(2.0 * weak, strong, atol=1e-12)
    nominal = NOMINAL.as_vector()
    np.testing.assert_allclose(2.0 * (weak_vectors - nominal), vectors - nominal, atol=1e-12)
    assert np.abs(strong).max() > 0.1 or np.abs(vectors - nominal).max() > 0.1


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_follow_from_their_seed(profile):
    assert profile(0.7, seed=1) == profile(0.7, seed=1)
    assert profile(0.7, seed=1) != profile(0.7, seed=2)


def test_wind_pushes_along_its_direction_in_the_world():
    (gust,) = WindGusts(1.0, seed=3, count=1).gusts
    wind, peak = WindGusts(1.0, seed=3, count=1), gust.onset + 0.5 * gust.duration
    _, downwind = effect(wind, peak, (0, 0, gust.direction, 0, 0))
    _, upwind = effect(wind, peak, (0, 0, gust.direction + np.pi, 0, 0))
    _, across = effect(wind, peak, (0, 0, gust.direction + np.pi / 2, 0, 0))
    assert downwind[0] == pytest.approx(gust.acceleration) and 1.5 <= gust.acceleration <= 3.0
    assert upwind[0] == pytest.approx(-gust.acceleration)
    assert across[0] == pytest.approx(0.0, abs=1e-12)
    assert not effect(wind, gust.onset - 0.01)[1].any()
    assert not effect(wind, gust.onset + gust.duration + 0.01)[1].any()


def test_terrain_changes_settle_between_its_transitions():
    terrain = TerrainChange(1.0, seed=0)
    before, after = effect(terrain, 0.0)[0], effect(terrain, 7.5)[0]
    assert before.friction_v == pytest.approx(0.5, abs=1e-4)
    assert after.friction_v == pytest.approx(0.5 + terrain.changes[0].friction_v, abs=1e-2)
    assert 0.75 <= terrain.changes[0].friction_v <= 1.5
    assert terrain.changes[1].friction_v < 0.0


def test_combined_profile_is_the_sum_of_its_parts():
    combined = Combined(0.7, seed=5)
    vectors, pushes = over_time(combined)
    parts = [over_time(part) for part in combined.parts]
    np.testing.assert_allclose(pushes, sum(push for _, push in parts), atol=1e-12)
    nominal = NOMINAL.as_vector()
    np.testing.assert_allclose(vectors - nominal, sum(v - nominal for v, _ in parts), atol=1e-12)


def test_patches_depend_on_the_place_alone_and_cover_their_share():
    floor = FrictionPatches(seed=4, size=1.0, coverage=0.5, low=0.25, high=4.0)
    places = np.random.default_rng(0).uniform(-100.0, 100.0, (4000, 2))
    factors = np.array([floor.factor(x, y) for x, y in places])
    assert 0.25 <= factors.min() and factors.max() <= 4.0
    assert np.mean(factors != 1.0) == pytest.approx(0.5, abs=0.05)
    assert np.mean(factors > 1.0) == pytest.approx(np.mean(factors < 1.0), abs=0.05)
    again = [
        FrictionPatches(seed=4, size=1.0, coverage=0.5, low=0.25, high=4.0).factor(x, y) for x, y in places
    ]
    np.testing.assert_array_equal(factors, again)
    other = [
        FrictionPatches(seed=5, size=1.0, coverage=0.5, low=0.25, high=4.0).factor(x, y) for x, y in places
    ]
    assert not np.array_equal(factors, other)


def test_patches_are_squares_of_their_size():
    factors = np.array([friction_at(x, 0.1, 7, 2.0, 1.0, 0.2, 5.0) for x in np.arange(-50.0, 50.0, 0.01)])
    edges = np.flatnonzero(np.diff(factors)) * 0.01
    np.testing.assert_allclose(np.diff(edges), 2.0, atol=0.02)


def test_patches_scale_viscous_and_dry_friction():
    floor = FrictionPatches(seed=4, coverage=1.0, low=3.0, high=3.0)
    after, _ = effect(floor)
    assert after.friction_v == pytest.approx(1.5)
    assert after.friction_omega == pytest.approx(0.9)
    assert after.coulomb == pytest.approx(0.6)


def test_disturbances_compose_and_stay_within_the_allowed_ranges():
    world = DynamicWorld(
        NOMINAL, disturbances=(Payload(0.0, 3.0, 1.0), Payload(0.0, 3.0, 1.0), FrictionStep(0.0))
    )
    current = world.current_parameters()
    assert current.mass == 4.0
    assert current.friction_v == 2.5
    assert world.parameters == NOMINAL


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("intensity", [-0.1, 1.1, np.nan])
def test_intensities_out_of_range_are_refused(profile, intensity):
    with pytest.raises(InvalidValueError, match="intensity"):
        profile(intensity)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: FrictionStep(at=np.nan), "at"),
        (lambda: Payload(mass=0.0), "mass"),
        (lambda: Payload(inertia=np.inf), "inertia"),
        (lambda: FrictionPatches(size=0.0), "size"),
        (lambda: FrictionPatches(low=2.0, high=1.0), "low"),
        (lambda: FrictionPatches(seed=-1), "seed"),
        (lambda: WindGusts(count=-1), "count"),
        (lambda: BatterySag(rate=np.nan), "rate"),
    ],
)
def test_bad_magnitudes_are_refused_by_name(make, name):
    with pytest.raises(InvalidValueError, match=name):
        make()
