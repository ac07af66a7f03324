"""A folder with files like Omniglot's, drawn here."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest


def _drawing(rng, base):
    from PIL import Image

    ink = np.clip(base + 0.1 * rng.normal(size=(35, 35)), 0.0, 1.0)
    image = Image.fromarray(np.uint8(255 * (1.0 - ink))).resize((105, 105)).point(lambda v: 255 * (v > 127))
    file = io.BytesIO()
    image.convert("1").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def omniglot_like(tmp_path_factory):
    """Two alphabets of 12 characters with 6 drawers, and 20 runs of 20 classes."""
    pytest.importorskip("PIL")
    folder, rng = tmp_path_factory.mktemp("omniglot"), np.random.default_rng(0)
    shapes = [np.kron(rng.random((5, 5)) < 0.4, np.ones((7, 7))) for _ in range(24)]
    with zipfile.ZipFile(folder / "images_background_small1.zip", "w") as archive:
        for i, shape in enumerate(shapes):
            for drawer in range(6):
                name = f"images_background_small1/{'AB'[i // 12]}/character{i % 12:02}/{i:04}_{drawer:02}.png"
                archive.writestr(name, _drawing(rng, shape))
    with zipfile.ZipFile(folder / "all_runs.zip", "w") as archive:
        for run in range(1, 21):
            order = rng.permutation(20)
            lines = []
            for k in range(20):
                archive.writestr(f"run{run:02}/training/class{k + 1:02}.png", _drawing(rng, shapes[k]))
                archive.writestr(f"run{run:02}/test/item{k + 1:02}.png", _drawing(rng, shapes[order[k]]))
                asked, shown = f"test/item{k + 1:02}.png", f"training/class{order[k] + 1:02}.png"
                lines.append(f"run{run:02}/{asked} run{run:02}/{shown}")
            archive.writestr(f"run{run:02}/class_labels.txt", "\n".join(lines))
    return folder
