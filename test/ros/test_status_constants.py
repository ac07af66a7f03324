"""The constants of the messages and the enumerations of the core are the same."""

import pytest
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus

from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.safety.codes import Code, State


@pytest.mark.parametrize("member", State)
def test_controller_states(member):
    assert getattr(ControllerStatus, member.name) == member


@pytest.mark.parametrize("member", Code)
def test_controller_codes(member):
    assert getattr(ControllerStatus, member.name) == member


@pytest.mark.parametrize("member", Decision)
def test_adaptation_decisions(member):
    assert getattr(AdaptationStatus, member.name) == member


def declared(message: type) -> set[str]:
    return {name for name in dir(message) if name.isupper() and isinstance(getattr(message, name), int)}


def test_no_constant_of_the_messages_is_missing_in_the_core():
    assert declared(ControllerStatus) == {member.name for member in (*State, *Code)}
    states = {"DISABLED", "WAITING_FOR_DATA", "WARMING_UP", "ACTIVE"}
    assert declared(AdaptationStatus) == states | {member.name for member in Decision}
