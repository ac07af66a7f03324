"""docs/safety.md says what the tests prove, neither more nor less."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.safety.codes import Code, State

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("safety_table", ROOT / "scripts" / "safety_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_document_is_up_to_date(table) -> None:
    assert table.DOCUMENT.read_text() == table.document(), "run scripts/safety_table.py"


def test_every_row_has_a_test_and_every_marked_test_a_row(table) -> None:
    numbers = list(table.ROWS)
    assert numbers[:57] == list(range(1, 58)) and numbers == sorted(numbers)
    found = table.proofs()
    assert sorted(found) == list(table.ROWS)
    for tests in found.values():
        assert all((ROOT / path).is_file() for path, _ in tests)


def test_every_code_that_the_document_names_exists(table) -> None:
    constants = set()
    for path in (*(ROOT / "msg").glob("*.msg"), *(ROOT / "srv").glob("*.srv")):
        constants |= set(re.findall(r"^uint8 (\w+)=", path.read_text(), re.MULTILINE))
    assert {member.name for member in (*State, *Code, *Decision)} <= constants
    for _, _, status in table.ROWS.values():
        named = set(re.findall(r"\b[A-Z][A-Z_]{3,}\b", status)) - {"ERROR", "WARN"}
        assert named <= constants, named - constants


def test_every_code_of_the_controller_is_in_the_document(table) -> None:
    text = " ".join(status for _, _, status in table.ROWS.values())
    for code in Code:
        assert code is Code.NONE or code.name in text, code.name
