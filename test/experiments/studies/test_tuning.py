"""The pictures of the tuning guide are of drives in which one parameter differs."""

import attrs
import matplotlib.image
import pytest

from mppi_maml_ros.experiments.studies import tuning as study
from mppi_maml_ros.experiments.studies.tuning import KNOBS, Knob
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(study, "DURATION", 3.0)
    return MetaModel.load(PACKAGED)


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_the_default_is_among_the_values(knob):
    assert knob.default in knob.values and len(set(knob.values)) == len(knob.values)


@pytest.mark.parametrize("name", ["temperature", "adapt_interval", "buffer_size", "guard.margin"])
def test_a_knob_reaches_the_drive(short, name):
    knob = next(knob for knob in KNOBS if knob.name == name)
    errors = {value: study.drive(name, value, 0, short)["rmse"] for value in knob.values}
    assert all(error > 0.0 for error in errors.values())
    if name in ("temperature", "adapt_interval"):
        assert len(set(errors.values())) > 1
    assert errors[knob.default] == study.drive("batch_size", 1000, 0, short)["rmse"]


def test_all_drives_are_drawn_and_kept(short, monkeypatch, tmp_path):
    few = tuple(attrs.evolve(knob, values=(knob.default,)) for knob in KNOBS)
    monkeypatch.setattr(study, "KNOBS", few)
    rows = [
        dict(zip(study.COLUMNS, (k.name, k.default, s, 0.01, 0.1, 1.0), strict=True))
        for k in few
        for s in (0, 1)
    ]
    path = study.write(rows, tmp_path)
    assert matplotlib.image.imread(path).shape[0] > 1000
    assert len((tmp_path / "tuning_study.csv").read_text().splitlines()) == len(rows) + 1
    assert isinstance(few[0], Knob)
