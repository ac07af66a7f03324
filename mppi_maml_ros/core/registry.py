"""Things that are chosen by name: those of this package, and those that others add from outside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar, overload

from .errors import InvalidValueError, MppiMamlError

T = TypeVar("T")
S = TypeVar("S")


class UnknownNameError(InvalidValueError, KeyError):
    """Nothing is registered under a name; the message lists the names that there are."""

    __str__ = Exception.__str__  # KeyError's would quote the message


class Registry(Mapping[str, T]):
    """A mapping from names to things of one kind, in the order of their registration.

    A thing is added by :meth:`register`, or by an installed distribution that declares it as an entry
    point of the group. Entry points are loaded at the first look into the registry, never by
    :meth:`register`: a module that adds to a registry may be imported by way of an entry point.

    Args:
        kind: what a thing is, in messages.
        group: of entry points.

    Raises:
        UnknownNameError: by ``registry[name]``.
        MppiMamlError: at the first look, an entry point cannot be loaded.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group
        self._things: dict[str, T] = {}
        self._complete = False

    @overload
    def register(self, name: str) -> Callable[[S], S]: ...

    @overload
    def register(self, name: str, thing: T) -> T: ...

    def register(self, name: str, thing: Any = None) -> Any:
        """Add a thing, or decorate it in order to add it; the same thing again changes nothing.

        Raises:
            InvalidValueError: the name is that of another thing.
        """
        if thing is None:
            return lambda decorated: self.register(name, decorated)
        if self._things.setdefault(name, thing) is not thing:
            raise InvalidValueError(f"{self.kind} {name!r} is registered already: {self._things[name]!r}")
        return thing

    @property
    def registered(self) -> tuple[str, ...]:
        """The names so far; those of entry points only after the first look."""
        return tuple(self._things)

    def _known(self) -> dict[str, T]:
        if not self._complete:
            self._complete = True  # what is loaded may look in here
            try:
                for entry in entry_points(group=self.group):
                    self.register(entry.name, _loaded(self.kind, entry))
            except MppiMamlError:
                self._complete = False
                raise
        return self._things

    def __getitem__(self, name: str) -> T:
        known = self._known()
        if name not in known:
            raise UnknownNameError(f"{self.kind} must be one of {', '.join(known)}, got {name!r}")
        return known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


def _loaded(kind: str, entry: Any) -> Any:
    try:
        return entry.load()
    except Exception as error:  # whatever it is: say whose fault it is
        reason = f"{type(error).__name__}: {error}"
        raise MppiMamlError(f"{kind} {entry.name!r}, {entry.value}, cannot be loaded: {reason}") from error
