"""Omniglot (Lake et al., Science 350, 2015), read from its official zip files.

Any of ``images_background*.zip`` and ``images_evaluation.zip`` will do, the small ones or the full ones, and
``all_runs.zip`` with the 20 runs of 20-way one-shot classification.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from ..core.errors import MppiMamlError

SIZE = 28  # pixels that images are reduced to, as in the papers
RUNS = "all_runs.zip"
MOST_IMAGES = 100_000


def _image(data: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("L").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return 1.0 - np.asarray(small, dtype=np.float32) / 255.0


@attrs.frozen(eq=False)
class Characters:
    """Characters of some alphabets.

    Attributes:
        images: (classes, drawers, 28, 28), ink 1 and paper 0.
        alphabets: of each class.
    """

    images: np.ndarray
    alphabets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def of(self, alphabets: Sequence[str]) -> Characters:
        """Those of some alphabets."""
        rows = [i for i, name in enumerate(self.alphabets) if name in alphabets]
        return Characters(self.images[rows], tuple(self.alphabets[i] for i in rows))

    def turned(self) -> Characters:
        """With each character turned by 90, 180 and 270 degrees as further classes (Santoro et al., 2016)."""
        turns = [np.rot90(self.images, k, axes=(2, 3)) for k in range(4)]
        names = [name if k == 0 else f"{name} turned {90 * k}" for k in range(4) for name in self.alphabets]
        return Characters(np.concatenate(turns), tuple(names))

    def by_alphabet(self) -> list[np.ndarray]:
        """Rows of each alphabet."""
        names = np.array(self.alphabets)
        return [np.flatnonzero(names == name) for name in dict.fromkeys(self.alphabets)]


def characters(folder: Path) -> Characters:
    """All characters in a folder's zip files of the background and evaluation sets.

    Raises:
        MppiMamlError: no such files, or they are not Omniglot's.
    """
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    files = [*sorted(folder.glob("images_background*.zip")), *sorted(folder.glob("images_evaluation*.zip"))]
    for file in files:
        with _opened(file) as archive:
            names = [n for n in sorted(archive.namelist()) if n.endswith(".png") and n.count("/") == 3]
            if len(names) > MOST_IMAGES:
                raise MppiMamlError(f"{file.name} has more than {MOST_IMAGES} images")
            for name in names:
                _, alphabet, character, _ = name.split("/")
                if not alphabet.startswith("__"):
                    found.setdefault((alphabet, character), []).append(_image(archive.read(name)))
    if not found:
        raise MppiMamlError(f"{folder} has no images_background*.zip of Omniglot")
    drawers = min(map(len, found.values()))
    images = np.stack([np.stack(drawn[:drawers]) for drawn in found.values()])
    return Characters(images, tuple(alphabet for alphabet, _ in found))


@attrs.frozen(eq=False)
class Run:
    """An official run: ``shown`` (20, 28, 28), one a class; ``asked`` (20, 28, 28) with ``labels`` (20,)."""

    shown: np.ndarray
    asked: np.ndarray
    labels: np.ndarray


def official_runs(folder: Path) -> list[Run]:
    """The runs of 20-way one-shot classification.

    Raises:
        MppiMamlError: the file is missing or not Omniglot's.
    """
    file = folder / RUNS
    runs = []
    with _opened(file) as archive:
        for page in sorted(n for n in archive.namelist() if n.endswith("class_labels.txt")):
            pairs = [line.split() for line in archive.read(page).decode().splitlines() if line.strip()]
            classes = sorted({shown for _, shown in pairs})
            runs.append(
                Run(
                    np.stack([_image(archive.read(_within(page, name))) for name in classes]),
                    np.stack([_image(archive.read(_within(page, asked))) for asked, _ in pairs]),
                    np.array([classes.index(shown) for _, shown in pairs]),
                )
            )
    if not runs:
        raise MppiMamlError(f"{file.name} has no class_labels.txt")
    return runs


def _within(page: str, name: str) -> str:
    """Where an image that a run's page names lies in the archive."""
    run = page.rsplit("/", 1)[0]
    return run + "/" + name.split("/", 1)[1]


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise MppiMamlError(f"{file} cannot be read: {error}") from error
