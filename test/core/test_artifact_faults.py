"""Artifacts when something goes wrong around them: damage, bombs, pickles, kill -9, a full disk."""

import contextlib
import io
import os
import resource
import signal
import struct
import sys
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save as save_bytes

from mppi_maml_ros.core import artifact
from mppi_maml_ros.core.errors import ArtifactError

OLD = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
NEW = {"a": np.ones((200, 300), np.float32)}


def in_child(work) -> int:
    """Exit code of ``work()`` in a forked process, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


STAGES = ("NamedTemporaryFile", "write", "fsync", "chmod", "replace")


@pytest.mark.fault(44)
@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_in_the_middle_of_a_save_leaves_the_old_file_and_nothing_that_loads(tmp_path, stage):
    path = artifact.save(tmp_path / "model.safetensors", OLD, {"kind": "old"})
    before = path.read_bytes()

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def save_and_die():
        if stage == "NamedTemporaryFile":
            artifact.tempfile.NamedTemporaryFile = die
        elif stage == "write":
            real = artifact.tempfile.NamedTemporaryFile

            def half(**options):
                file = real(**options)
                file.write(b"\x40\0\0\0\0\0\0\0{")
                file.flush()
                die()

            artifact.tempfile.NamedTemporaryFile = half
        else:
            setattr(os, stage, die)
        artifact.save(path, NEW, {"kind": "new"})

    assert in_child(save_and_die) == -signal.SIGKILL
    assert path.read_bytes() == before
    assert artifact.load(path)[1] == {"kind": "old"}
    for left in tmp_path.iterdir():
        if left != path:
            # What was left behind has no name under which anything looks for an artifact.
            with pytest.raises(ArtifactError):
                artifact.resolve(tmp_path, left.name)


@pytest.mark.fault(44)
def test_a_kill_after_the_rename_leaves_the_new_file(tmp_path):
    path = artifact.save(tmp_path / "model.safetensors", OLD, {"kind": "old"})

    def save_and_die():
        real = os.replace

        def replaced(*arguments):
            real(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replaced
        artifact.save(path, NEW, {"kind": "new"})

    assert in_child(save_and_die) == -signal.SIGKILL
    assert artifact.load(path)[1] == {"kind": "new"}
    assert [left.name for left in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.fault(45)
def test_on_a_full_disk_a_save_fails_with_a_reason_and_leaves_no_litter(tmp_path):
    path = artifact.save(tmp_path / "model.safetensors", OLD, {"kind": "old"})

    def save_without_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(ArtifactError, match="cannot be saved: File too large"):
            artifact.save(path, NEW, {"kind": "new"})

    assert in_child(save_without_room) == 0
    assert artifact.load(path)[1] == {"kind": "old"}
    assert [left.name for left in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.fault(45)
@pytest.mark.parametrize("call", ["mkdir", "chmod", "replace", "open", "fsync"])
@pytest.mark.parametrize("number", [13, 28, 30])
def test_an_error_of_the_disk_anywhere_in_a_save_is_told_and_leaves_no_litter(
    tmp_path, monkeypatch, call, number
):
    folder = tmp_path / "folder"
    path = artifact.save(folder / "model.safetensors", OLD, {"kind": "old"})

    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(ArtifactError, match=os.strerror(number)) as caught:
        artifact.save(
            (folder if call != "mkdir" else tmp_path / "other") / "model.safetensors", NEW, {"kind": "new"}
        )
    monkeypatch.undo()
    assert "model.safetensors" in str(caught.value)
    assert artifact.load(path)[1]["kind"] == "old"
    assert [left.name for left in folder.iterdir()] == ["model.safetensors"]
    assert [left.name for left in tmp_path.iterdir()] == ["folder"]


def open_files():
    return set(os.listdir("/proc/self/fd"))


def test_saving_syncs_the_file_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    log, before = [], open_files()
    fsync, replace, chmod = os.fsync, os.replace, os.chmod

    def synced(number):
        what = os.readlink(f"/proc/self/fd/{number}")
        log.append("fsync folder" if os.path.isdir(what) else f"fsync file of {os.path.getsize(what)}")
        fsync(number)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *a: (log.append("replace"), replace(*a)))
    monkeypatch.setattr(os, "chmod", lambda path, mode: (log.append(f"mode {mode:o}"), chmod(path, mode)))
    path = artifact.save(tmp_path / "a" / "b" / "model.safetensors", OLD, {})
    assert log == [f"fsync file of {path.stat().st_size}", "mode 644", "replace", "fsync folder"]
    assert path.stat().st_mode & 0o777 == 0o644
    assert artifact.save(path, NEW, {}) == path  # into a folder that is there
    assert open_files() == before


@pytest.mark.fault(31)
def test_the_size_caps_are_what_they_say(tmp_path):
    assert artifact.MAX_FILE_BYTES == 64 * 1024 * 1024
    assert artifact.MAX_HEADER_BYTES == 1024 * 1024
    path = tmp_path / "m.safetensors"
    for size, message in ((artifact.MAX_FILE_BYTES, "header"), (artifact.MAX_FILE_BYTES + 1, "at most")):
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", 1 << 62))
            file.truncate(size)
        with pytest.raises(ArtifactError, match=message):
            artifact.load(path)


@pytest.mark.fault(31)
def test_a_header_bomb_is_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(
        struct.pack("<Q", artifact.MAX_HEADER_BYTES + 1) + b" " * (artifact.MAX_HEADER_BYTES + 64)
    )
    with pytest.raises(ArtifactError, match=f"header must be at most {artifact.MAX_HEADER_BYTES} bytes"):
        artifact.load(path)
    # A header of the largest size is read; what it holds is judged then.
    path.write_bytes(struct.pack("<Q", artifact.MAX_HEADER_BYTES) + b"{}".ljust(artifact.MAX_HEADER_BYTES))
    with pytest.raises(ArtifactError, match="safetensors|metadata"):
        artifact.load(path)
    path.write_bytes(struct.pack("<Q", 3) + b"{}")
    with pytest.raises(ArtifactError, match="header"):
        artifact.load(path)
    bomb = b'{"a":{"dtype":"F32","shape":[4294967295,4294967295],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(bomb)) + bomb + b"\0\0\0\0")
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        artifact.load(path)


@pytest.mark.fault(31)
def test_a_file_that_is_nested_without_end_is_refused():
    header = b'{"a":' * 100_000
    with pytest.raises(ArtifactError):
        artifact.loads(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize("length", range(8))
def test_a_file_without_a_header_is_truncated(length):
    with pytest.raises(ArtifactError, match="truncated"):
        artifact.loads(b"\0" * length)
    with pytest.raises(ArtifactError, match="safetensors"):
        artifact.loads(b"\0" * 8)


def forged(tensors, envelope):
    """A safetensors file with our metadata, whatever it says."""
    import json

    text = envelope if isinstance(envelope, str) else json.dumps(envelope)
    return save_bytes(tensors, metadata={"mppi_maml_ros": text})


def signed(tensors, manifest="{}"):
    return {"format_version": 1, "manifest": manifest, "sha256": artifact._checksum(tensors, manifest)}


@pytest.mark.fault(29)
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_a_tensor_of_another_type_is_refused_by_name(dtype):
    tensors = {"good": np.ones(2, np.float32), "odd_one": np.ones(2, dtype)}
    with pytest.raises(ArtifactError, match="'odd_one' must be float32"):
        artifact.loads(forged(tensors, signed(tensors)))


@pytest.mark.fault(33)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_signed_tensor_that_is_not_finite_is_refused_by_name(value):
    tensors = {"good": np.ones(2, np.float32), "bad_one": np.array([1.0, value], np.float32)}
    with pytest.raises(ArtifactError, match="'bad_one' must be finite"):
        artifact.loads(forged(tensors, signed(tensors)))


@pytest.mark.fault(28)
def test_renamed_reshaped_or_changed_tensors_do_not_match_the_checksum():
    envelope = signed(OLD)
    assert artifact.loads(forged(OLD, envelope))[0]["a"].tolist() == OLD["a"].tolist()
    changed = OLD["a"].copy()
    changed[0, 0] += 1.0
    for other in ({"b": OLD["a"]}, {"a": OLD["a"].reshape(3, 2)}, {"a": changed}, {}):
        with pytest.raises(ArtifactError, match="checksum"):
            artifact.loads(forged(other, envelope))
    for other in ({**envelope, "manifest": "[]"}, {**envelope, "manifest": 3}, {**envelope, "sha256": None}):
        with pytest.raises(ArtifactError, match="checksum"):
            artifact.loads(forged(OLD, other))


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("envelope", "named"),
    [
        ("not json", "damaged"),
        ("[1]", "not an object"),
        ("[" * 100_000, "damaged"),
        ({"format_version": 2}, "got 2"),
        ({}, "got None"),
    ],
)
def test_metadata_that_is_not_ours_is_refused(envelope, named):
    with pytest.raises(ArtifactError, match=named):
        artifact.loads(forged(OLD, envelope))


@pytest.mark.fault(29)
@pytest.mark.parametrize("header", [b"[]", b"3", b"null"])
def test_a_header_that_is_no_object_is_refused(header):
    with pytest.raises(ArtifactError):
        artifact.loads(struct.pack("<Q", len(header)) + header)


def test_a_folder_a_pipe_and_nothing_are_no_artifacts(tmp_path):
    with pytest.raises(ArtifactError, match="nothing.safetensors cannot be read: No such file"):
        artifact.load(tmp_path / "nothing.safetensors")
    with pytest.raises(ArtifactError, match="cannot be read"):
        artifact.load(tmp_path)
    with pytest.raises(ArtifactError, match="not a regular file"):
        artifact.load("/dev/zero")


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    ("name", "file"),
    [("a", "a"), ("a.safetensors", "a"), ("A-1_b.c", "A-1_b.c"), ("x" * 100, "x" * 100), ("0", "0")],
)
def test_good_names_lead_into_the_folder(tmp_path, name, file):
    assert artifact.resolve(tmp_path, name) == tmp_path / f"{file}.safetensors"


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a/b",
        "..",
        "a..b",
        "",
        ".",
        ".a",
        "-a",
        "x" * 101,
        "a\n",
        "ä",
        "~/x",
        ".safetensors",
    ],
)
def test_bad_names_are_refused(tmp_path, name):
    with pytest.raises(ArtifactError, match="name must be"):
        artifact.resolve(tmp_path, name)


class Canary:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickles(canary):
    """The ways in which a pickle comes: bare, and as the archive that torch.save writes."""
    import pickle

    bare = pickle.dumps(Canary(canary))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model/data.pkl", bare)
        file.writestr("model/version", "3\n")
    return bare, archive.getvalue()


@pytest.mark.fault(30)
def test_neither_a_pickle_nor_a_torch_file_is_ever_unpickled(tmp_path):
    from mppi_maml_ros.weights.meta_model import MetaModel

    seen = []
    watching = [True]
    sys.addaudithook(
        lambda event, _: seen.append(event) if watching and event == "pickle.find_class" else None
    )
    try:
        for data in pickles(tmp_path / "ran"):
            for name in ("model.safetensors", "model.pt", "model.pkl", "model.npy"):
                path = tmp_path / name
                path.write_bytes(data)
                with pytest.raises(ArtifactError):
                    artifact.load(path)
                with pytest.raises(ArtifactError):
                    MetaModel.load(path)
    finally:
        watching.clear()
    assert not (tmp_path / "ran").exists() and seen == []


@pytest.mark.fault(30)
def test_the_canary_would_have_sung(tmp_path):
    import pickle

    pickle.loads(pickles(tmp_path / "ran")[0]).close()
    assert (tmp_path / "ran").exists()
