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


def test_tasks_of_one_alphabet_are_drawn_as_often_as_asked_in_training_alone():
    codes = np.arange(12)[:, None, None, None] * np.ones((12, 2, 28, 28))
    drawn = Characters(codes, ("A",) * 5 + ("B",) * 5 + ("C",) * 2)  # C has too few

    def alike(sets):
        firsts = [{min(int(v) // 5, 2) for v in images[:, 0, 0]} for images in sets[0][0]]
        return np.mean([len(found) == 1 for found in firsts])

    for share, low, high in ((0.0, 0.0, 0.4), (0.5, 0.4, 0.8), (1.0, 1.0, 1.0)):
        tasks = FewShotTasks(drawn, drawn, 3, 1, 1, count=100, alike=share)
        assert low <= alike(tasks.sample(np.random.default_rng(0), 100)) <= high
        assert alike(tasks.held_out()) < 0.4


def test_small_maps_move_ink_a_little_and_each_image_otherwise():
    pytest.importorskip("torch")
    from mppi_maml_ros.images.distortion import SHIFT, distorted

    images = np.zeros((2, 40, 28, 28), dtype=np.float32)
    images[..., 13:15, 13:15] = 1.0  # in the middle, which only the shift moves
    np.testing.assert_allclose(distorted(images, np.random.default_rng(0), 0.0), images, atol=1e-5)
    moved = distorted(images, np.random.default_rng(0))
    assert moved.shape == images.shape and 0.0 <= moved.min() and moved.max() <= 1.0 + 1e-6
    np.testing.assert_array_equal(moved, distorted(images, np.random.default_rng(0)))
    weight = moved / moved.sum(axis=(2, 3), keepdims=True)
    centres = np.stack([(weight.sum(axis=3 - k) * np.arange(28)).sum(axis=2) for k in (0, 1)], axis=-1)
    off = np.abs(centres - 13.5)
    assert 0.5 < off.max() < 1.6 * 14 * SHIFT and len(np.unique(centres.round(4), axis=None)) > 100


def test_distorted_training_leaves_what_judges_as_it_is():
    pytest.importorskip("torch")
    drawn = Characters(np.random.default_rng(0).random((4, 3, 28, 28)).astype(np.float32), ("A",) * 4)
    plain, bent = (FewShotTasks(drawn, drawn, 2, 1, 1, 3, distortion=d) for d in (0.0, 1.0))
    np.testing.assert_array_equal(plain.held_out()[0][0], bent.held_out()[0][0])
    shown, other = (tasks.sample(np.random.default_rng(0), 5)[0] for tasks in (plain, bent))
    assert np.abs(shown[0] - other[0]).max() > 0.1
    np.testing.assert_array_equal(shown[1], other[1])


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
