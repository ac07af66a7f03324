"""`make setup` copies what changed, removes what went, and leaves all else untouched."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def dev_install(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev_install", root / "scripts" / "dev_install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A source module and its installation, which holds generated files too."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        (folder / "core").mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "core" / "a.py").write_text("a = 1\n")
    (target / "msg").mkdir()
    (target / "msg" / "_status.py").write_text("generated\n")
    (target / "mppi_s__typesupport.so").write_bytes(b"\x7fELF")
    (target / "core" / "__pycache__").mkdir()
    (target / "core" / "__pycache__" / "a.nbi").write_bytes(b"compiled")
    return source, target


def test_nothing_is_copied_where_nothing_changed(dev_install: ModuleType, trees: tuple[Path, Path]) -> None:
    source, target = trees
    os.utime(target / "core" / "a.py", (1, 1))
    (source / "core" / "a.py").touch()
    assert dev_install.synchronise(source, target) == []
    assert (target / "core" / "a.py").stat().st_mtime == 1


def test_changed_and_new_files_are_copied(dev_install: ModuleType, trees: tuple[Path, Path]) -> None:
    source, target = trees
    (source / "core" / "a.py").write_text("a = 2\n")
    (source / "artifacts").mkdir()
    (source / "artifacts" / "weights.safetensors").write_bytes(b"\0\1")
    changed = dev_install.synchronise(source, target)
    assert set(map(str, changed)) == {"core/a.py", "artifacts/weights.safetensors"}
    assert (target / "core" / "a.py").read_text() == "a = 2\n"
    assert (target / "artifacts" / "weights.safetensors").read_bytes() == b"\0\1"


def test_removed_files_go_and_generated_ones_stay(dev_install: ModuleType, trees: tuple[Path, Path]) -> None:
    source, target = trees
    (source / "core" / "a.py").unlink()
    assert list(map(str, dev_install.synchronise(source, target))) == ["core/a.py"]
    assert not (target / "core" / "a.py").exists()
    assert (target / "msg" / "_status.py").exists()
    assert (target / "mppi_s__typesupport.so").exists()
    assert (target / "core" / "__pycache__" / "a.nbi").exists()


def test_a_failed_step_is_done_again(
    dev_install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_install, "STAMPS", tmp_path)
    with pytest.raises(RuntimeError), dev_install.changed("built", "one") as differs:
        assert differs
        raise RuntimeError
    with dev_install.changed("built", "one") as differs:
        assert differs
    with dev_install.changed("built", "one") as differs:
        assert not differs
    with dev_install.changed("built", "two") as differs:
        assert differs


def test_digest_follows_contents_and_names_alone(
    dev_install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_install, "ROOT", tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("1")
    second.write_text("1")
    before = dev_install.digest([first])
    os.utime(first, (1, 1))
    assert dev_install.digest([first]) == before
    assert dev_install.digest([second]) != before
    first.write_text("2")
    assert dev_install.digest([first]) != before
