"""What is said of machines and environments, one fault at a time."""

import attrs
import pytest

from mppi_maml_ros.doctor.finding import Level, any_wrong
from mppi_maml_ros.doctor.machine import REQUIRED, Machine, judge_machine, this_machine

SOUND = Machine(
    python=(3, 12, 3),
    versions=REQUIRED,
    distribution="jazzy",
    domain="7",
    compiled=True,
    cores=4,
    governors=frozenset({"performance"}),
    threads={"OMP_NUM_THREADS": "1"},
    clock=1.8e9,
)


def test_nothing_is_said_against_a_sound_machine():
    assert {finding.level for finding in judge_machine(SOUND)} == {Level.OK}


@pytest.mark.parametrize(
    ("changes", "level", "about", "says", "do"),
    [
        ({"python": (3, 9, 2)}, "wrong", "python", "3.9.2, 3.10 or newer", "make PYTHON="),
        (
            {"versions": {**REQUIRED, "numba": "0.58.1"}},
            "wrong",
            "packages",
            "numba is 0.58.1",
            "'numba>=0.60'",
        ),
        (
            {"versions": {**REQUIRED, "safetensors": None}},
            "wrong",
            "packages",
            "not installed",
            "pip install",
        ),
        (
            {"rclpy": "no module"},
            "wrong",
            "ros",
            "rclpy cannot be imported",
            "source /opt/ros/jazzy/setup.bash",
        ),
        ({"distribution": "humble"}, "note", "ros", "humble", ""),
        ({"interfaces": "no module"}, "wrong", "interfaces", "our messages", "colcon build"),
        ({"domain": "233"}, "wrong", "domain", "'233', allowed is 0 to 232", "export ROS_DOMAIN_ID"),
        ({"domain": "-1"}, "wrong", "domain", "'-1'", "export ROS_DOMAIN_ID"),
        ({"compiled": False}, "wrong", "kernels", "no folder can be written", "NUMBA_CACHE_DIR"),
        ({"cores": 1}, "note", "processor", "one core", "batch_size"),
        ({"governors": frozenset({"powersave"})}, "note", "processor", "powersave", "cpupower"),
        ({"threads": {"OMP_NUM_THREADS": "4"}}, "note", "processor", "OMP_NUM_THREADS is 4", "=1"),
        ({"clock": 86400.0}, "wrong", "clock", "1970-01-02", "chrony"),
    ],
)
def test_each_fault_is_named_with_what_to_do(changes, level, about, says, do):
    findings = judge_machine(attrs.evolve(SOUND, **changes))
    (found,) = [finding for finding in findings if finding.level is not Level.OK]
    assert (found.level, found.about) == (Level(level), about)
    assert says in found.says and do in found.do
    assert any_wrong(findings) == (level == "wrong")


def test_kernels_that_are_not_compiled_but_can_be_are_a_note(tmp_path):
    findings = judge_machine(attrs.evolve(SOUND, compiled=False, cache=tmp_path))
    (found,) = [finding for finding in findings if finding.level is not Level.OK]
    assert (found.level, found.do) == (Level.NOTE, "python3 -m mppi_maml_ros.warm_up")


def test_this_machine_has_the_packages_that_the_tests_run_with():
    assert "packages" not in {f.about for f in judge_machine(this_machine()) if f.level is Level.WRONG}


def test_compiled_kernels_are_seen_and_an_environment_without_them_too(tmp_path, monkeypatch):
    from mppi_maml_ros.core.kernels import cache

    monkeypatch.setattr(cache, "folders", lambda path: iter([tmp_path / "none"]))
    found = this_machine()
    assert (found.compiled, found.cache) == (False, tmp_path / "none")
