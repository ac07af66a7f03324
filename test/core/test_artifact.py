import json
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core import artifact
from mppi_maml_ros.core.errors import ArtifactError

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, dtype=np.float32)}
MANIFEST = {"kind": "test", "seed": 3}


def test_what_is_saved_is_what_is_loaded(tmp_path):
    path = artifact.save(tmp_path / "w.safetensors", TENSORS, MANIFEST)
    tensors, manifest = artifact.load(path)
    assert manifest == MANIFEST
    assert {name: t.tolist() for name, t in tensors.items()} == {
        name: t.tolist() for name, t in TENSORS.items()
    }


@pytest.mark.fault(28)
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_flipped_bit_is_refused_or_changes_nothing(draw):
    data = bytearray(artifact.dumps(TENSORS, MANIFEST))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        tensors, manifest = artifact.loads(bytes(data))
    except ArtifactError:
        return
    assert manifest == MANIFEST and all(np.array_equal(tensors[k], TENSORS[k]) for k in TENSORS)


@pytest.mark.fault(28)
@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_truncated_file_is_refused(length):
    data = artifact.dumps(TENSORS, MANIFEST)
    with pytest.raises(ArtifactError):
        artifact.loads(data[: length % len(data)])


@pytest.mark.fault(57)
@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_are_refused(data):
    with pytest.raises(ArtifactError):
        artifact.loads(data)


@pytest.mark.fault(31)
def test_a_header_that_claims_to_be_huge_is_refused_before_it_is_read():
    with pytest.raises(ArtifactError, match="header"):
        artifact.loads(struct.pack("<Q", 1 << 60) + b"{}")


@pytest.mark.fault(31)
def test_a_huge_file_is_refused_by_its_size(tmp_path):
    path = tmp_path / "huge.safetensors"
    with open(path, "wb") as file:
        file.truncate(10 * 1024**3)
    with pytest.raises(ArtifactError, match="at most"):
        artifact.load(path)


@pytest.mark.fault(29)
def test_another_format_version_is_refused():
    data = artifact.dumps(TENSORS, MANIFEST)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    envelope = json.loads(header["__metadata__"]["mppi_maml_ros"])
    header["__metadata__"]["mppi_maml_ros"] = json.dumps({**envelope, "format_version": 99})
    text = json.dumps(header).encode()
    with pytest.raises(ArtifactError, match="format_version"):
        artifact.loads(struct.pack("<Q", len(text)) + text + data[8 + length :])


@pytest.mark.fault(29)
def test_a_safetensors_file_of_someone_else_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file(TENSORS, tmp_path / "w.safetensors")
    with pytest.raises(ArtifactError, match="not written by this package"):
        artifact.load(tmp_path / "w.safetensors")


def test_the_same_content_gives_the_same_bytes():
    reordered = dict(reversed(TENSORS.items()))
    assert artifact.dumps(TENSORS, MANIFEST) == artifact.dumps(reordered, MANIFEST)


@pytest.mark.fault(30)
def test_a_pickle_under_our_name_is_refused_and_never_run(tmp_path):
    canary = tmp_path / "ran"
    payload = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(payload)
    with pytest.raises(ArtifactError):
        artifact.load(path)
    assert not canary.exists()


@pytest.mark.fault(32)
@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "", "x" * 200, "a\\b", "a\0b", ".hidden"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(ArtifactError, match="name"):
        artifact.resolve(tmp_path, name)


@pytest.mark.fault(32)
def test_a_symbolic_link_is_refused(tmp_path):
    os.symlink("/etc/hostname", tmp_path / "link.safetensors")
    with pytest.raises(ArtifactError, match="link"):
        artifact.resolve(tmp_path, "link")


@pytest.mark.fault(33)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tensors_that_are_not_finite_are_never_saved(tmp_path, value):
    with pytest.raises(ArtifactError, match="'a'"):
        artifact.save(tmp_path / "w.safetensors", {"a": np.array([value])}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(45)
def test_a_failed_save_keeps_the_old_file_and_leaves_no_litter(tmp_path, monkeypatch):
    path = artifact.save(tmp_path / "w.safetensors", TENSORS, MANIFEST)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left"):
        artifact.save(path, TENSORS, {"kind": "newer"})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.fault(45)
def test_a_folder_that_cannot_be_made_is_an_error_with_a_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be saved"):
        artifact.save(tmp_path / "file" / "w.safetensors", TENSORS, {})
