"""Noise: the same on every machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import mppi_maml_ros
from mppi_maml_ros.core.kernels.simd import GROUP, WIDE
from mppi_maml_ros.mppi.sampling import batch_width

PROGRAM = """
import hashlib
from mppi_maml_ros.core.kernels.simd import GROUP
from mppi_maml_ros.mppi.config import MPPIConfig
from mppi_maml_ros.mppi.sampling import Sampler, batch_width

sampler, total = Sampler(MPPIConfig(batch_size=1000), seed=3), hashlib.sha256()
for _ in range(3):
    noise = sampler.sample()
    for array in (noise.values, noise.start, noise.sign, noise.first, noise.share):
        total.update(array.tobytes())
print(GROUP, batch_width(1000), total.hexdigest())
"""


def drawn(folder: Path) -> list[str]:
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split()


def test_a_seed_draws_the_same_samples_where_vectors_have_another_width(tmp_path: Path) -> None:
    package = Path(mppi_maml_ros.__file__).parent
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    simd = tmp_path / package.name / "core" / "kernels" / "simd.py"
    before, after = "WIDE = bool(", "WIDE = not bool("
    assert before in simd.read_text()
    simd.write_text(simd.read_text().replace(before, after))
    here, there = drawn(package.parent), drawn(tmp_path)
    assert here[0] == str(GROUP) and there[0] == str(16 if WIDE else 32)
    assert here[1:] == there[1:] and here[1] == "1024"


def test_a_batch_is_a_whole_number_of_groups() -> None:
    assert batch_width(1) == batch_width(32) == 32 and batch_width(33) == 64
    assert batch_width(1) % GROUP == 0
