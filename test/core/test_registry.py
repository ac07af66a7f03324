"""A registry gives things by name, names those it has, and takes no two under one name."""

import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.registry import Registry


@pytest.fixture
def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour", "mppi_maml_ros.no_such_group")
    registry.register("red", 1)
    registry.register("blue", 2)
    return registry


def test_things_are_found_in_the_order_of_their_registration(colours):
    assert list(colours.items()) == [("red", 1), ("blue", 2)]
    assert colours.registered == ("red", "blue")
    assert "red" in colours and "green" not in colours and colours.get("green") is None


def test_an_unknown_name_is_refused_with_those_that_exist(colours):
    with pytest.raises(InvalidValueError) as caught:
        colours["green"]
    assert str(caught.value) == "colour must be one of red, blue, got 'green'"


def test_two_things_cannot_have_one_name_but_one_thing_may_come_twice(colours):
    with pytest.raises(InvalidValueError, match="colour 'red' is registered already: 1"):
        colours.register("red", 3)
    assert colours.register("red", 1) == 1


def test_a_decorated_thing_stays_what_it_is(colours):
    @colours.register("green")
    def green():
        return 3

    assert green() == 3 and colours["green"] is green
