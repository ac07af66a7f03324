"""The soak: it drives through faults, and it notices what grows."""

import json
import mmap
import threading

import matplotlib.image
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.experiments.studies import soak
from mppi_maml_ros.experiments.studies.soak import SoakError, SoakSettings, judge, measure, run_soak
from mppi_maml_ros.weights.meta_model import MetaModel

PACKAGED = soak.Path(soak.__file__).parents[2] / "artifacts" / "default.safetensors"


def rows(count=100, **columns):
    made = []
    for k in range(count):
        row = {
            "hours": 0.1 * k,
            "memory_mib": 200.0,
            "threads": 3,
            "python_threads": 1,
            "files": 9,
            "objects": 1,
        }
        made.append(row | {name: value(k) for name, value in columns.items()})
    return made


@pytest.mark.fault(51)
def test_minutes_of_control_through_faults_are_flat(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "NEW_FAULT", 4.0)
    monkeypatch.setattr(soak, "NEW_WORLD", 10.0)
    settings = SoakSettings(hours=20.0 / 3600.0, out=tmp_path, samples=10)
    report = run_soak(settings, MetaModel.load(PACKAGED), lambda done, line: None)
    assert report["grown"] == [] and report["periods"] == 400
    assert any(state.startswith("STOPPED ODOMETRY") for state in report["states"])
    assert report["transitions"] <= 200
    assert (
        json.loads((tmp_path / "soak.json").read_text())["weights_version"] == report["weights_version"] >= 1
    )
    assert matplotlib.image.imread(tmp_path / "soak.png").shape[0] > 500


def test_what_is_flat_passes_also_when_the_allocator_breathes():
    assert judge(rows())["grown"] == []
    assert judge(rows(memory_mib=lambda k: 200.0 + 6.0 * (k % 2)))["grown"] == []
    assert judge(rows(memory_mib=lambda k: 200.0 + min(k, 15)))["grown"] == []  # the warm-up


@pytest.mark.fault(51)
@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"memory_mib": lambda k: 200.0 + 0.3 * k}, "memory by"),
        ({"memory_mib": lambda k: float("nan")}, "memory by"),
        ({"threads": lambda k: 3 + (k > 60)}, "threads between 3 and 4"),
        ({"files": lambda k: 9 + k // 30}, "files"),
    ],
)
def test_what_grows_is_named(columns, named):
    assert named in judge(rows(**columns))["grown"][0]


@pytest.mark.fault(51)
def test_a_measurement_sees_memory_threads_and_files(tmp_path):
    before = measure()
    # Pages of its own: the allocator would give back what an earlier test has freed.
    block = mmap.mmap(-1, 32 * 2**20)
    block.write(b"x" * len(block))
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with open(tmp_path / "file", "w"):
        during = measure()
    done.set()
    thread.join()
    assert during["memory_mib"] - before["memory_mib"] > 0.9 * len(block) / 2**20
    assert during["python_threads"] == before["python_threads"] + 1
    assert during["files"] == before["files"] + 1


@pytest.mark.fault(51)
def test_a_leak_fails_the_soak(tmp_path, monkeypatch):
    made = iter(rows(files=lambda k: 9 + k))
    monkeypatch.setattr(soak, "measure", lambda: next(made))
    settings = SoakSettings(hours=2.0 / 3600.0, out=tmp_path, samples=10)
    with pytest.raises(SoakError, match="files"):
        run_soak(settings, MetaModel.load(PACKAGED), lambda done, line: None)
    assert (tmp_path / "soak.json").exists()


@pytest.mark.parametrize("bad", [{"hours": 0.0}, {"hours": float("nan")}, {"samples": 1}])
def test_settings_out_of_range_are_refused_by_name(bad):
    with pytest.raises(InvalidValueError, match=next(iter(bad))):
        SoakSettings(**bad)
