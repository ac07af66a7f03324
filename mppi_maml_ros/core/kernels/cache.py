"""Machine code of kernels on disk: never stale, in whatever folder can be written, and read by everybody.

numba's own cache goes by the file of a function and the processor. It does not see when a constant or a
function changes that comes from another file and was compiled into this one, and it raises an error where it
finds no folder to write. Here a name on disk holds hashes of

- the file of a function, and of all files of this package that it imports, directly or not;
- the versions of numba, llvmlite and numpy, the processor, and the lanes and rows of :mod:`.simd`;

and folders are asked in this order: ``NUMBA_CACHE_DIR`` where it is set, ``__pycache__`` beside the file, the
user's cache (``XDG_CACHE_HOME`` or ``~/.cache``), the folder for temporary files. Code that lies in any of
them is loaded; the first that takes it gets what was compiled anew.
"""

# numba finds the types of compiled functions, and says none of its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import numba
import numpy as np
from numba.core import caching

from .simd import LANES, ROWS

PACKAGE = Path(__file__).resolve().parents[2]
START = "about a minute on two cores"  # to compile what the nodes need
_IMPORT = re.compile(rf"^from (\.+|{PACKAGE.name}\b)\.?([\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)
_TOOLS = f"{sys.implementation.cache_tag} {numba.__version__} {llvmlite.__version__} {np.__version__}"
_CONFIG: Any = numba.config
_NAME = re.compile(r"\w+")
_warned: set[bool] = set()
_listeners: list[Callable[[str], object]] = []


def tell(listener: Callable[[str], object]) -> None:
    """Who is to be told, once, when kernels are compiled because none of these sources lie anywhere."""
    _listeners.append(listener)


def _njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """:func:`numba.njit`, except that ``cache=True`` means the cache of this module."""
    cached = options.pop("cache", False)

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        path = Path(function.__code__.co_filename)
        if cached and hasattr(dispatcher, "enable_caching") and path.is_file():
            dispatcher._cache = KernelCache(function, path.resolve())
        return dispatcher

    return compiled if function is None else compiled(function)


if TYPE_CHECKING:
    from numba import njit as njit
else:
    njit = _njit


class KernelCache(caching.FunctionCache):
    """Keeps and finds the machine code of one function; a signature has files of its own.

    Args:
        function: what is compiled.
        path: of the file that it stands in.
    """

    def __init__(self, function: Callable[..., Any], path: Path) -> None:
        self._py_func, self._name = function, repr(function)
        self._impl = _Results(function, path)
        self._path, self._stamp = path, stamp(path)
        qualname = function.__qualname__.replace("<", "").replace(">", "")
        tools = hashlib.sha256(_TOOLS.encode()).hexdigest()[:8]  # environments that share a checkout
        self._prefix = f"{path.stem}.{qualname}.{tools}-"
        self._cache_path = str(next(folders(path)))
        self.enable()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        for folder in folders(self._path):
            # whatever was torn by a loss of power, or is not ours to read, is compiled again
            with contextlib.suppress(Exception):
                data = self._files(folder, key).load(key)
                if data is not None:
                    return self._impl.rebuild(target_context, data)
        while _listeners:
            _listeners.pop()(f"compiling numerical kernels, which a first start does: {START}")
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if not self._impl.check_cachable(data):
            return
        key, reduced = self._index_key(sig, data.codegen), self._impl.reduce(data)
        failed: list[Path] = []
        for folder in folders(self._path):
            try:
                self._save(folder, key, reduced)
            except OSError:
                failed.append(folder)
                continue
            _warn(failed, folder)
            return
        _warn(failed, None)

    def flush(self) -> None:
        """Nothing: what is out of date has another name."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return *super()._index_key(sig, codegen), LANES, ROWS

    def _files(self, folder: Path, key: Any) -> Any:
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        line = self._py_func.__code__.co_firstlineno
        name = f"{self._prefix}{self._stamp[:16]}-{line}-{digest}"
        return caching.IndexDataCacheFile(str(folder), name, self._stamp)

    def _save(self, folder: Path, key: Any, data: Any) -> None:
        beside = folder.parent == self._path.parent
        folder.mkdir(mode=0o700, parents=not beside, exist_ok=True)
        files = self._files(folder, key)
        Path(files._index_path).unlink(missing_ok=True)  # it may be torn, and would be read
        files.save(key, data)
        with contextlib.suppress(OSError):
            if beside:  # who may read the source may read this, whatever the umask says
                folder.chmod(stat.S_IMODE(folder.parent.stat().st_mode))
                mode = stat.S_IMODE(self._path.stat().st_mode) & 0o644 | stat.S_IWUSR
                for path in (files._index_path, files._data_path(files._data_name(1))):
                    os.chmod(path, mode)
            for old in folder.glob(f"{self._prefix}*.nb[ci]"):
                if not old.name.startswith(f"{self._prefix}{self._stamp[:16]}-"):
                    old.unlink(missing_ok=True)


class _Results(caching.CompileResultCacheImpl):
    """What numba writes of a compiled function, without its search for a folder."""

    def __init__(self, function: Callable[..., Any], path: Path) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = self
        self._py_file = str(path)


def folders(path: Path) -> Iterator[Path]:
    """Where kernels of a file may lie, the best first."""
    part = f"{path.parent.name}_{hashlib.sha256(str(path.parent).encode()).hexdigest()[:16]}"
    if _CONFIG.CACHE_DIR:
        yield Path(_CONFIG.CACHE_DIR) / part
    yield path.parent / "__pycache__"
    others = [Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / PACKAGE.name / part]
    with contextlib.suppress(FileNotFoundError):  # no folder for temporary files can be written
        others.append(Path(tempfile.gettempdir()) / f"{PACKAGE.name}-{os.getuid()}-{part}")
    yield from (folder for folder in others if folder.is_absolute() and _is_ours(folder))


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put code into a folder; also where there is none yet."""
    try:
        found = folder.lstat()
    except OSError:
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


@cache
def stamp(path: Path) -> str:
    """Hash of a file, of all files of this package that it imports, and of what compiles them."""
    total = hashlib.sha256(_TOOLS.encode())
    for source in sorted(sources(path)):
        total.update(hashlib.sha256(source.read_bytes()).digest())
    return total.hexdigest()


def sources(path: Path) -> set[Path]:
    """A file, and all files of this package that it imports when it is loaded, directly or not."""
    found, waiting = {path}, [path]
    while waiting:
        new = _imported(waiting.pop()) - found
        found |= new
        waiting += new
    return found


@cache
def _imported(path: Path) -> frozenset[Path]:
    found = set()
    for start, module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
        base = path.parents[len(start) - 1] if start.startswith(".") else PACKAGE
        base = base.joinpath(*module.split(".")) if module else base
        found |= {base.with_suffix(".py"), base / "__init__.py"}
        if base.is_dir():
            found |= {
                base / f"{name}{end}" for name in _NAME.findall(names) for end in (".py", "/__init__.py")
            }
    return frozenset(source for source in found if source.is_file())


def _warn(failed: list[Path], folder: Path | None) -> None:
    """Say once where compiled kernels go, if not where the next start of anybody finds them."""
    if not failed or (folder is None) in _warned:
        return
    _warned.add(folder is None)
    owner = f"let the owner of {PACKAGE} run `python3 -m {PACKAGE.name}.warm_up`"
    if folder is None:
        text = f"no folder can be written for compiled kernels, so that every start takes {START}: tried " + (
            f"{', '.join(map(str, failed))}; set NUMBA_CACHE_DIR to a folder, or {owner}"
        )
    else:
        text = f"compiled kernels are kept in {folder.parent}, for this user alone, as {failed[0]} cannot be "
        text += f"written; a first start takes {START}; to spare others it, {owner}"
    warnings.warn(text, RuntimeWarning, stacklevel=2)
