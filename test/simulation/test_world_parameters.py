import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.simulation import parameters as p
from mppi_maml_ros.simulation.parameters import (
    DEFAULT_RANGES,
    PARAMETER_BOUNDS,
    PARAMETER_NAMES,
    WorldParameters,
    randomize,
)

any_parameters = st.builds(
    WorldParameters, **{name: st.floats(low, high) for name, (low, high) in PARAMETER_BOUNDS.items()}
)


@given(any_parameters)
def test_parameters_survive_the_way_through_a_vector(parameters):
    vector = parameters.as_vector()
    assert vector.shape == (len(PARAMETER_NAMES),)
    assert WorldParameters.from_vector(vector) == parameters


def test_index_constants_name_the_fields_they_index():
    single = {
        name: getattr(p, name.upper())
        for name in PARAMETER_NAMES
        if not name.startswith(("process", "odometry_n"))
    }
    for name, index in single.items():
        assert PARAMETER_NAMES[index] == name
    axes = ("x", "y", "yaw", "v", "omega")
    for i, axis in enumerate(axes):
        assert PARAMETER_NAMES[p.PROCESS_NOISE + i] == f"process_noise_{axis}"
        assert PARAMETER_NAMES[p.ODOMETRY_NOISE + i] == f"odometry_noise_{axis}"


@pytest.mark.parametrize("name", PARAMETER_NAMES)
def test_values_out_of_range_are_refused_with_name_and_range(name):
    low, high = PARAMETER_BOUNDS[name]
    for value in (low - 0.01, high + 0.01, np.nan, np.inf, -np.inf):
        with pytest.raises(InvalidValueError) as error:
            WorldParameters(**{name: value})
        assert name in str(error.value) and f"[{low:g}, {high:g}]" in str(error.value)
    assert getattr(WorldParameters(**{name: low}), name) == low
    assert getattr(WorldParameters(**{name: high}), name) == high


def test_a_vector_of_the_wrong_shape_is_refused():
    with pytest.raises(InvalidValueError, match="shape"):
        WorldParameters.from_vector(np.zeros(3))


def test_draws_lie_in_their_ranges_and_differ():
    rng = np.random.default_rng(0)
    draws = [randomize(rng) for _ in range(200)]
    for name, (low, high) in DEFAULT_RANGES.items():
        values = np.array([getattr(d, "motor_gain_left" if name == "motor_gain" else name) for d in draws])
        assert low <= values.min() and values.max() <= high
        assert np.ptp(values) > 0.9 * (high - low)
    assert all(d.motor_gain_left == d.motor_gain_right for d in draws)


def test_draws_depend_on_the_seed_alone():
    backwards = dict(reversed(DEFAULT_RANGES.items()))
    first = randomize(np.random.default_rng(7))
    assert first == randomize(np.random.default_rng(7), backwards)
    assert first != randomize(np.random.default_rng(8))


def test_equal_bounds_set_an_exact_value_and_leave_the_rest_as_in_the_base():
    base = WorldParameters(mass=2.0, slip=0.3)
    drawn = randomize(
        np.random.default_rng(0), {"motor_gain": (0.7, 0.7), "motor_gain_right": (0.8, 0.8)}, base
    )
    assert drawn == attrs.evolve(base, motor_gain_left=0.7, motor_gain_right=0.8)


@pytest.mark.parametrize(
    ("ranges", "complaint"),
    [
        ({"mas": (1.0, 2.0)}, "mas"),
        ({"mass": (2.0, 1.0)}, "mass"),
        ({"mass": (np.nan, 1.0)}, "mass"),
        ({"mass": (1.0, np.nan)}, "mass"),
        ({"mass": (1.0, np.inf)}, "mass"),
        ({"mass": (0.0, 1.0)}, "mass"),
        ({"motor_gain": (0.0, 1.0)}, "motor_gain"),
        ({"mass": (1.0, 1.1, 1.2)}, "mass"),
        ({"mass": 1.0}, "mass"),
    ],
)
def test_bad_ranges_are_refused_by_name(ranges, complaint):
    with pytest.raises(InvalidValueError, match=complaint):
        randomize(np.random.default_rng(0), ranges)
