"""The built interfaces are those of msg/ and srv/, and those say what their fields mean."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "mppi_maml_ros"

LINE = re.compile(
    r"^(?P<type>[\w/]+)(?P<array>\[[^\]]*\])?\s+(?P<name>\w+)\s*(=\s*(?P<value>[^#]+?))?\s*(#\s*(?P<comment>.*))?$"
)


@attrs.frozen
class Entry:
    """One field or constant of an interface file; ``part`` is Message, Request or Response."""

    file: Path
    part: str
    name: str
    value: str | None
    comment: str

    def __str__(self) -> str:
        return f"{self.file.stem}.{self.part}.{self.name}"


def entries(file: Path) -> list[Entry]:
    parts = iter(["Message"] if file.suffix == ".msg" else ["Request", "Response"])
    part = next(parts)
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip() == "---":
            part = next(parts)
        elif line.strip() and not line.lstrip().startswith("#"):
            match = LINE.match(line.strip())
            assert match, f"{file.name}: cannot read {line!r}"
            found.append(Entry(file, part, match["name"], match["value"], match["comment"] or ""))
    return found


FILES = sorted([*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")])
ENTRIES = [entry for file in FILES for entry in entries(file)]
CONSTANTS = [entry for entry in ENTRIES if entry.value is not None]
FIELDS = [entry for entry in ENTRIES if entry.value is None]


def generated(file: Path, part: str) -> type:
    """The class that rosidl generated for a part of an interface."""
    interface = getattr(importlib.import_module(f"{NAME}.{file.parent.name}"), file.stem)
    return interface if part == "Message" else getattr(interface, part)


def test_the_promised_interfaces_are_there() -> None:
    assert {file.name for file in FILES} >= {
        "AdaptationStatus.msg",
        "ControllerStatus.msg",
        "ResidualWeights.msg",
        "WorldState.msg",
        "MetaTrain.srv",
        "RandomizeWorld.srv",
        "SwapWeights.srv",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_interface_is_built_with_the_fields_of_its_file(file: Path) -> None:
    pytest.importorskip("rclpy")
    for part in {entry.part for entry in ENTRIES if entry.file == file}:
        names = [entry.name for entry in FIELDS if entry.file == file and entry.part == part]
        assert list(generated(file, part).get_fields_and_field_types()) == names, "run `make setup`"


@pytest.mark.parametrize("constant", CONSTANTS, ids=str)
def test_constant_has_the_value_of_its_file(constant: Entry) -> None:
    pytest.importorskip("rclpy")
    assert getattr(generated(constant.file, constant.part), constant.name) == int(constant.value)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_constants_of_one_group_differ(file: Path) -> None:
    """A group is a run of lines without a blank one between; two codes of one value would be one code."""
    groups = re.split(r"\n\s*\n", file.read_text(encoding="utf-8"))
    for group in groups:
        values = re.findall(r"^uint8\s+\w+\s*=\s*(\d+)", group, flags=re.MULTILINE)
        assert len(values) == len(set(values)), group


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_field_says_what_it_means(field: Entry) -> None:
    assert field.comment, f"{field} has no comment (unit, frame, sign or meaning)"
