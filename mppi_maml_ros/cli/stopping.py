"""Whether somebody wants a robot to stop: a key, or a signal."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


@contextlib.contextmanager
def stop_wanted() -> Iterator[Callable[[], str]]:
    """A function that says what wants it, empty while nothing does; keys count where input is a terminal."""
    received: list[str] = []

    def note(number: int, frame: object) -> None:
        received.append(signal.Signals(number).name)

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        with _keys() as pressed:
            yield lambda: received[0] if received else "a key" if pressed() else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], bool]]:
    try:
        import select
        import termios
        import tty

        number = sys.stdin.fileno()
        kept = termios.tcgetattr(number)
    except (ImportError, OSError, ValueError, termios.error):
        yield lambda: False
        return
    tty.setcbreak(number)
    try:
        yield lambda: bool(select.select([number], [], [], 0.0)[0])
    finally:
        termios.tcflush(number, termios.TCIFLUSH)  # the key is not for the shell
        termios.tcsetattr(number, termios.TCSADRAIN, kept)
