"""A declaration is the only place of a default and a range."""

from __future__ import annotations

import math

import attrs
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.tunable import declarations, tunable


@attrs.frozen
class Kind:
    gain: float = tunable(2.0, 0.5, 4.0, "Some gain", "1/s")
    count: int = tunable(3, 1, 9, "Some count", dynamic=False)
    on: bool = tunable(True, description="Some switch")
    way: str = tunable("left", description="Some way", choices=("left", "right"))
    widths: tuple[int, ...] = tunable((8,), 1, 16, "Some widths", lengths=(1, 2))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gain", math.nan, r"gain must be finite and in \[0.5, 4\] 1/s"),
        ("gain", math.inf, "gain must be finite"),
        ("gain", 5.0, r"gain must be in \[0.5, 4\] 1/s, got 5"),
        ("count", 0, r"count must be in \[1, 9\]"),
        ("count", 2.0, "count must be an integer"),
        ("count", True, "count must be an integer"),
        ("way", "up", "way must be one of left, right"),
        ("widths", (1, 2, 3), "widths must have 1 or 2 elements"),
        ("widths", (17,), r"widths must be in \[1, 16\]"),
    ],
)
def test_what_a_declaration_forbids_is_refused_by_name(name, value, message):
    with pytest.raises(InvalidValueError, match=message):
        Kind(**{name: value})


def test_a_node_table_and_its_descriptors_follow_the_declarations():
    declared_from = pytest.importorskip("mppi_maml_ros.ros.parameters").declared_from
    table = {declared.name: declared for declared in declared_from(Kind, "some.")}
    assert list(table) == [f"some.{name}" for name in declarations(Kind)]
    gain = table["some.gain"].descriptor()
    assert (gain.floating_point_range[0].from_value, gain.floating_point_range[0].to_value) == (0.5, 4.0)
    assert gain.description == "Some gain [1/s]" and not gain.read_only
    assert table["some.count"].descriptor().read_only
    assert table["some.widths"].default == (8,)
    (other,) = declared_from(Kind, names=("gain",), defaults={"gain": 1.0})
    assert other.default == 1.0 and other.high == 4.0
