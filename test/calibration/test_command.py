"""``mppi-maml calibrate`` without a robot: simulated, drawn, and from a bag."""

import json
import signal

import numpy as np
import pytest
import yaml

from mppi_maml_ros import cli
from mppi_maml_ros.calibration.result import Calibration


def test_a_simulated_robot_is_calibrated_into_a_file_a_picture_and_a_verdict(tmp_path, capsys):
    assert cli.main(["calibrate", "--simulate", "lag", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "On a figure of eight" in said and "params_file:=" in said and "explained" in said
    found = Calibration.load(tmp_path / "calibration.yaml")
    assert 0.05 < found.v.time_constant < 1.0 and found.v.explained > 0.9
    assert (tmp_path / "calibration.png").stat().st_size > 50_000
    nodes = yaml.safe_load((tmp_path / "calibration.yaml").read_text())
    assert set(nodes) == {"/**/mppi_controller", "/**/adaptation", "/**/calibration"}


def test_drawn_robots_are_summed_up_in_a_file(tmp_path, capsys):
    assert cli.main(["calibrate", "--drawn", "2", "--out", str(tmp_path)]) == 0
    assert "4 of 4 axes" in capsys.readouterr().out
    report = json.loads((tmp_path / "drawn.json").read_text())
    assert report["within"] == report["axes"] == 4 and report["largest"]["seconds"] < 90.0


def test_ctrl_c_ends_the_drive_with_zeros(tmp_path, monkeypatch, capsys):
    from mppi_maml_ros.calibration.simulated import SimulatedDriver

    told, drive = [], SimulatedDriver.drive

    def watched(self, command):
        told.append(np.array(command))
        if len(told) == 700:
            signal.raise_signal(signal.SIGINT)
        return drive(self, command)

    monkeypatch.setattr(SimulatedDriver, "drive", watched)
    assert cli.main(["calibrate", "--simulate", "lag", "--out", str(tmp_path)]) == 130
    assert np.any(told[:700]) and len(told) < 710 and not np.any(told[-5:])
    assert "interrupted" in capsys.readouterr().err and not (tmp_path / "calibration.yaml").exists()


def test_nobody_can_be_asked_without_a_terminal(monkeypatch):
    pytest.importorskip("rclpy")
    from click.testing import CliRunner

    from mppi_maml_ros.cli.main import cli as commands
    from mppi_maml_ros.system import calibration

    monkeypatch.setattr(calibration.RosDriver, "find", lambda self: None)
    monkeypatch.setattr(calibration.RosDriver, "drive", lambda self, command: pytest.fail("it was driven"))
    result = CliRunner().invoke(commands, ["calibrate"])
    assert result.exit_code == 2 and "--yes" in result.output


def test_a_recorded_drive_is_calibrated(record_drive, tmp_path, capsys):
    """Lags of 0.3 and 0.2 s, gain 1 and no delay, from what a tracking controller commanded."""
    bag = record_drive(tmp_path / "run", steps=900)
    assert cli.main(["calibrate", "--bag", str(bag), "--no-verdict", "--out", str(tmp_path)]) == 0
    found = Calibration.load(tmp_path / "calibration.yaml")
    assert (found.v.time_constant, found.omega.time_constant) == pytest.approx((0.3, 0.2), rel=0.1)
    assert (found.v.gain, found.omega.gain) == pytest.approx((1.0, 1.0), rel=0.05)
    assert max(found.v.delay, found.omega.delay) < 0.03
    assert found.vx_max <= 1.0 and found.vx_min >= -0.3
