import pathlib
import re

import pytest

from mppi_maml_ros.safety.codes import Code, State

MESSAGE = pathlib.Path(__file__).parents[2] / "msg" / "ControllerStatus.msg"


def constants(between, and_):
    text = MESSAGE.read_text().split(between)[1].split(and_)[0]
    return {name: int(value) for name, value in re.findall(r"^uint8 (\w+)=(\d+)", text, re.MULTILINE)}


@pytest.mark.parametrize(
    "enum, between, and_", [(State, "# state:", "# code:"), (Code, "# code:", "std_msgs/Header")]
)
def test_the_enums_are_those_of_the_status_message(enum, between, and_):
    assert {member.name: int(member) for member in enum} == constants(between, and_)
