"""The progress bars of all commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


class Bar:
    """One line that fills; where the output is no terminal, a line of text at each tenth of the way."""

    def __init__(
        self, progress: Progress, plain: Console | None, name: str, total: float, done: float
    ) -> None:
        self._progress, self._plain, self._name, self._total, self._done = progress, plain, name, total, done
        self._tenth = self._tenths()
        self._task = progress.add_task(name, total=total, completed=done, line="")  # type: ignore[arg-type]  # rich counts floats too

    def _tenths(self) -> int:
        return int(10.0 * self._done / self._total) if self._total else 10

    def to(self, done: float, line: str = "") -> None:
        """So much is ``done`` of the total, and what there is to say."""
        self._done = done
        self._progress.update(self._task, completed=done, line=escape(line))
        if self._plain is not None and self._tenths() > self._tenth:
            self._tenth = self._tenths()
            text = f"{self._name}: {10 * self._tenth} %  {line}".rstrip()
            self._plain.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(self, line: str = "") -> None:
        """One more is done."""
        self.to(self._done + 1.0, line)

    def say(self, line: str) -> None:
        """What is being done."""
        self._progress.update(self._task, line=escape(line))


class Bars:
    """Bars below each other; see :func:`shown`."""

    def __init__(self, progress: Progress, plain: Console | None) -> None:
        self._progress, self._plain = progress, plain

    def add(self, name: str, total: float, done: float = 0.0) -> Bar:
        """One more bar."""
        return Bar(self._progress, self._plain, name, total, done)

    def stop(self) -> None:
        """Leave the bars as they are and draw no more."""
        self._progress.stop()


@contextmanager
def shown(console: Console, disable: bool = False) -> Iterator[Bars]:
    """Bars on a console, for as long as the context lasts."""
    columns = (
        TextColumn("[bold]{task.description:<13}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[line]}"),
    )
    live = console.is_terminal and not disable
    plain = None if console.is_terminal or disable else console
    progress = Progress(*columns, console=console, refresh_per_second=4, disable=not live)
    with progress if live else nullcontext():  # some versions print a line although disabled
        yield Bars(progress, plain)


def track(items: Iterable[Item], name: str, total: int, console: Console) -> Iterator[Item]:
    """The items, with a bar that counts them."""
    with shown(console) as bars:
        bar = bars.add(name, total)
        for item in items:
            yield item
            bar.advance()
