"""``mppi-maml doctor``: what it prints, and its exit code."""

import json
import subprocess
import sys

import attrs
import pytest

from mppi_maml_ros.cli import main
from mppi_maml_ros.doctor import machine
from mppi_maml_ros.doctor.machine import REQUIRED, Machine

SOUND = Machine((3, 12, 3), REQUIRED, distribution="jazzy", compiled=True, cores=4)


@pytest.fixture(params=[True, False], ids=["sound", "without rclpy"])
def sound(request, monkeypatch):
    found = SOUND if request.param else attrs.evolve(SOUND, rclpy="ImportError: no rclpy")
    monkeypatch.setattr(machine, "this_machine", lambda: found)
    return request.param


def test_the_exit_code_and_the_json_say_whether_something_is_wrong(sound, capsys):
    # without rclpy it listens to nothing, and says why
    code = main(["doctor", "--json", *(["--duration", "0"] if sound else [])])
    report = json.loads(capsys.readouterr().out)
    assert (code, report["wrong"]) == ((0, False) if sound else (1, True))
    levels = {row["about"]: row["level"] for row in report["findings"]}
    assert levels["ros"] == ("ok" if sound else "wrong")
    assert all(row["do"] for row in report["findings"] if row["level"] == "wrong")


def test_what_to_type_stands_behind_each_finding(sound, capsys):
    main(["doctor", "--duration", "0"])
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if " ros " in line)
    if sound:
        assert lines[at].split() == ["ok", "ros", "ROS", "2", "jazzy"]
    else:
        assert lines[at].startswith("wrong") and "no rclpy" in lines[at]
        assert lines[at + 1].strip().startswith("-> source /opt/ros/jazzy/setup.bash")


def test_a_duration_that_is_none_is_refused(capsys):
    assert main(["doctor", "--duration", "-1"]) == 2
    assert "0.0<=x<=3600.0" in capsys.readouterr().err


def test_a_doctor_without_packages_still_says_which(root):
    code = "import sys; sys.modules |= dict.fromkeys(('numba', 'llvmlite', 'safetensors', 'rclpy')); "
    code += "from mppi_maml_ros.cli import main; sys.exit(main(['doctor', '--json']))"
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert found.returncode == 1, found.stderr
    rows = json.loads(found.stdout)["findings"]
    wrong = [row["says"] for row in rows if row["level"] == "wrong" and row["about"] == "packages"]
    assert [says.split(" cannot be imported")[0] for says in wrong] == ["llvmlite", "numba", "safetensors"]
