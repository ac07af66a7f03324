"""Checkpoints of a training: one safetensors file for each network, replaced atomically.

A resumed training goes on to the bit as if it had not stopped, so a checkpoint is taken up only by
a run with the same settings.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from ..core import artifact
from ..core.errors import ArtifactError

KIND = "mppi_maml_ros/checkpoint"


class Checkpoint:
    """A folder of checkpoints.

    Args:
        folder: created by the first save.
        settings: everything that the run depends on, JSON-able; has to be the same on resuming.
        resume: whether what lies there is taken up; else it is overwritten.
    """

    def __init__(self, folder: Path, settings: dict, resume: bool = False) -> None:
        self.folder = Path(folder)
        self._settings = json.loads(json.dumps(settings))
        self._resume = resume

    def _path(self, name: str) -> Path:
        return artifact.resolve(self.folder, name.replace("+", "_"))

    def save(self, name: str, tensors: dict[str, np.ndarray], notes: dict) -> None:
        """Replace the checkpoint ``name``."""
        manifest = {"kind": KIND, "settings": self._settings, "notes": notes}
        artifact.save(self._path(name), tensors, manifest)

    def load(self, name: str) -> tuple[dict[str, np.ndarray], dict] | None:
        """Tensors and notes; None when there is nothing to resume from.

        Raises:
            ArtifactError: damaged, or of a run with other settings; the message names them.
        """
        path = self._path(name)
        if not self._resume or not path.exists():
            return None
        tensors, manifest = artifact.load(path)
        if manifest.get("kind") != KIND:
            raise ArtifactError(f"{path.name} is not a checkpoint")
        before, now = manifest["settings"], self._settings
        other = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if other:
            raise ArtifactError(f"the checkpoint in {self.folder} was made with other {', '.join(other)}")
        return tensors, manifest["notes"]

    def remove(self) -> None:
        """Delete the folder's checkpoints, and the folder when nothing else is in it."""
        for path in self.folder.glob(f"*{artifact.SUFFIX}"):
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            shutil.rmtree(self.folder)
