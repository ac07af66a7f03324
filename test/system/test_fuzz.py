"""A short run of what ``mppi-maml fuzz`` does for as long as it is told to."""

import pytest

from mppi_maml_ros.system.fuzz import NODES, FuzzSettings, run_fuzz

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.fault(57)
@pytest.mark.fault(48)
def test_anything_thrown_at_all_four_nodes_ends_none_and_no_command_leaves_the_limits(monkeypatch):
    # Killed processes would leave shared memory behind, and containers have little of it.
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    report = run_fuzz(FuzzSettings(duration=8.0, seed=1), lambda done, line: None)
    assert report["exit_codes"] == dict.fromkeys(NODES, 0)
    assert report["commands"] > 50
    assert sum(report["actions"].values()) > 100
    assert any(state.startswith("RUNNING") for state in report["states"])
