"""The artifact: named float32 tensors and a manifest in one safetensors file.

Nothing is ever unpickled. A file is read only after its size and header length have been
checked, trusted only after its checksum has, and written through a temporary file that is
flushed to the disk and renamed, so that a reader sees the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save as save_bytes

from .errors import ArtifactError

FORMAT_VERSION = 1
SUFFIX = ".safetensors"
_KEY = "mppi_maml_ros"
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def resolve(folder: str | os.PathLike[str], name: str) -> Path:
    """Path of the artifact ``name`` directly under ``folder``.

    Args:
        folder: the only folder that may be read or written.
        name: letters, digits, '_', '-', '.', at most 100; with or without the suffix.

    Raises:
        ArtifactError: the name has a separator, leads elsewhere, or is a symbolic link.
    """
    stem = name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name
    if not _NAME.fullmatch(stem) or ".." in stem:
        raise ArtifactError(
            f"artifact name must be letters, digits, '_', '-' or '.' without folders, got {name!r}"
        )
    path = Path(folder) / (stem + SUFFIX)
    if path.is_symlink():
        raise ArtifactError(f"artifact {stem!r} is a symbolic link, which is refused")
    return path


def _checksum(tensors: dict[str, np.ndarray], manifest: str) -> str:
    h = hashlib.sha256(manifest.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        h.update(f"{name}:{tensor.shape}".encode())
        h.update(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
    return h.hexdigest()


def dumps(tensors: dict[str, np.ndarray], manifest: dict[str, Any]) -> bytes:
    """Serialise float32 tensors and a JSON-able manifest."""
    tensors = {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"tensor {name!r} is not finite and is not saved")
    text = json.dumps(manifest, sort_keys=True)
    envelope = {"format_version": FORMAT_VERSION, "manifest": text, "sha256": _checksum(tensors, text)}
    # One metadata key only: safetensors writes several in no fixed order, and the same
    # training run must give the same bytes.
    return save_bytes(tensors, metadata={_KEY: json.dumps(envelope, sort_keys=True)})


def loads(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Inverse of :func:`dumps`.

    Raises:
        ArtifactError: not an artifact of this format, or changed since it was written.
    """
    if len(data) < 8:
        raise ArtifactError("artifact is truncated: no header")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise ArtifactError(
            f"artifact header must be at most {MAX_HEADER_BYTES} bytes and inside the file, got {length}"
        )
    try:
        header = json.loads(data[8 : 8 + length])
        tensors = load_bytes(data)
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise ArtifactError(f"artifact is not a safetensors file: {error}") from error
    envelope = _envelope(header)
    if envelope.get("format_version") != FORMAT_VERSION:
        found = envelope.get("format_version")
        raise ArtifactError(f"artifact format_version must be {FORMAT_VERSION}, got {found!r}")
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32:
            raise ArtifactError(f"tensor {name!r} must be float32, got {tensor.dtype}")
    text = envelope.get("manifest")
    if not isinstance(text, str) or envelope.get("sha256") != _checksum(tensors, text):
        raise ArtifactError("artifact checksum does not match: the file was damaged or changed")
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"tensor {name!r} must be finite")
    return tensors, json.loads(text)


def _envelope(header: object) -> dict[str, Any]:
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ArtifactError(f"artifact lacks the {_KEY!r} metadata: not written by this package")
    try:
        envelope = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"artifact metadata is damaged: {error}") from error
    if not isinstance(envelope, dict):
        raise ArtifactError("artifact metadata is damaged: not an object")
    return envelope


def save(path: str | os.PathLike[str], tensors: dict[str, np.ndarray], manifest: dict[str, Any]) -> Path:
    """Write an artifact atomically.

    Raises:
        ArtifactError: the tensors are not finite, or the folder cannot be written; the old
            file is intact and no temporary file stays.
    """
    path = Path(path)
    data = dumps(tensors, manifest)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".", suffix=".partial", delete=False
        ) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ArtifactError(f"artifact {path.name} cannot be saved: {error.strerror or error}") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
    return path


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read an artifact.

    Raises:
        ArtifactError: missing, not a regular file, too large, damaged, or of another format.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise ArtifactError(f"artifact {path.name} is not a regular file")
            if info.st_size > MAX_FILE_BYTES:
                raise ArtifactError(
                    f"artifact {path.name} must be at most {MAX_FILE_BYTES} bytes, got {info.st_size}"
                )
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"artifact {path.name} cannot be read: {error.strerror or error}") from error
    try:
        return loads(data)
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error}") from error
