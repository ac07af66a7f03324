import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mppi_maml_ros.core import validators
from mppi_maml_ros.core.errors import InvalidValueError

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
CASES = {
    "above_zero": (validators.above_zero, lambda x: math.isfinite(x) and x > 0, "finite and above 0"),
    "not_negative": (validators.not_negative, lambda x: math.isfinite(x) and x >= 0, "finite and at least 0"),
    "finite": (validators.finite, math.isfinite, "finite"),
    "at_least": (validators.at_least(3), lambda x: x >= 3, "at least 3"),
    "within": (validators.within(-1.0, 2.0, "m/s"), lambda x: -1 <= x <= 2, "in [-1, 2] m/s"),
    "within, no unit": (validators.within(0.0, 1.0), lambda x: 0 <= x <= 1, "in [0, 1]"),
}


@pytest.mark.parametrize("name", CASES)
@given(value=NUMBERS | st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, -1.0]))
def test_a_validator_refuses_what_is_not_allowed_by_the_name_of_the_field(name, value):
    validator, allowed, says = CASES[name]
    kind = attrs.make_class("Kind", {"speed": attrs.field(validator=validator)}, frozen=True)
    if allowed(value):
        assert kind(value).speed is value
    else:
        with pytest.raises(InvalidValueError) as caught:
            kind(value)
        assert str(caught.value) == f"speed must be {says}, got {value}"
