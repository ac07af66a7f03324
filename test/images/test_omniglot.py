"""Omniglot is read as it was published, and tasks are drawn as they should be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")

from mppi_maml_ros.core.errors import InvalidValueError, MppiMamlError
from mppi_maml_ros.images.omniglot import Characters, characters, official_runs
from mppi_maml_ros.images.tasks import FewShotTasks

REAL = Path(os.environ.get("OMNIGLOT", "../shared/data/omniglot"))


def nearest(run):
    """Share of right answers of the nearest image."""
    distances = ((run.asked[:, None] - run.shown[None]) ** 2).sum(axis=(2, 3))
    return (distances.argmin(axis=1) == run.labels).mean()


def test_characters_and_runs_are_read(omniglot_like):
    drawn = characters(omniglot_like)
    assert drawn.images.shape == (24, 6, 28, 28) and drawn.alphabets == ("A",) * 12 + ("B",) * 12
    assert 0.0 <= drawn.images.min() and drawn.images.max() <= 1.0 and 0.1 < drawn.images.mean() < 0.7
    assert drawn.of(["B"]).images.shape == (12, 6, 28, 28)
    runs = official_runs(omniglot_like)
    assert len(runs) == 20 and runs[0].shown.shape == (20, 28, 28)
    assert sorted(runs[3].labels) == list(range(20))
    assert np.mean([nearest(run) for run in runs]) > 0.9


def test_turned_characters_are_further_classes():
    one = Characters(np.arange(4.0).reshape(1, 1, 2, 2), ("A",))
    turned = one.turned()
    assert len(turned) == 4 and len({image.tobytes() for image in turned.images}) == 4


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(MppiMamlError, match="images_background"):
        characters(tmp_path)
    (tmp_path / "images_background.zip").write_bytes(b"no zip")
    with pytest.raises(MppiMamlError, match=r"images_background\.zip"):
        characters(tmp_path)
    with pytest.raises(MppiMamlError, match="all_runs"):
        official_runs(tmp_path)


def test_tasks_show_each_class_and_ask_about_other_images_of_it():
    codes = np.arange(8 * 5).reshape(8, 5)[..., None, None] * np.ones((28, 28))
    drawn = Characters(codes, ("A",) * 8)
    tasks = FewShotTasks(drawn, drawn, ways=3, shots=2, queries=3)
    (shown, labels), (asked, answers) = tasks.sample(np.random.default_rng(0), 10)
    assert shown.shape == (10, 6, 28, 28) and asked.shape == (10, 9, 28, 28)
    for s, of, a, to in zip(shown[:, :, 0, 0], labels, asked[:, :, 0, 0], answers):
        classes = {k: {int(v) // 5 for v in s[of == k]} | {int(v) // 5 for v in a[to == k]} for k in range(3)}
        assert all(len(found) == 1 for found in classes.values())
        assert len(set.union(*classes.values())) == 3
        assert not {*s} & {*a}


@pytest.mark.parametrize("changes", [{"ways": 9}, {"ways": 1}, {"shots": 5}, {"queries": 0}])
def test_tasks_that_cannot_be_drawn_are_refused(changes):
    drawn = Characters(np.zeros((8, 5, 28, 28)), ("A",) * 8)
    with pytest.raises(InvalidValueError):
        FewShotTasks(drawn, drawn, **{"ways": 3, **changes})


@pytest.mark.skipif(not REAL.is_dir(), reason="Omniglot is not here: set OMNIGLOT")
def test_the_real_set_is_what_was_published():
    drawn = characters(REAL)
    assert drawn.images.shape[0] >= 242 and drawn.images.shape[1] == 20 and len({*drawn.alphabets}) >= 8
    runs = official_runs(REAL)
    assert len(runs) == 20
    assert 0.1 < np.mean([nearest(run) for run in runs]) < 0.35  # .25 was measured with pixels
