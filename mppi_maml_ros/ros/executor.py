"""One main loop for every node: parameters refused with a sentence, signals heard once, zero at the end.

The process handles SIGINT and SIGTERM itself: rclpy's own handlers would end the context before a
node could publish its last command. A signal that arrives while the node is being made ends it at
once; later ones ask for an orderly end, and repeated ones change nothing unless it hangs.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle, ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.service import Service
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from ..core.errors import MppiMamlError
from . import command_line
from .realtime import prioritise

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HANGS_AFTER = 5.0  # [s] a second signal later than this after the first ends the process at once
_CALL_TAKES = 1.0  # [s] at most: waking an executor that has just ended may never return
_SPIN_FOR = 3600.0  # [s] EventsExecutor without a timeout does not wake up on every system


class _Signals:
    """Turns signals into calls from a thread of its own, whatever the main thread is doing.

    Signals are written to a pipe by the C-level handler of Python, hence it does not matter which
    thread the kernel interrupts or whether the main thread runs Python code.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._making = True
        self._on_signal: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def __enter__(self) -> _Signals:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._handlers = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        self._old_fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._making = False
        signal.set_wakeup_fd(self._old_fd)
        os.write(self._write, b"\0")
        self._thread.join(_CALL_TAKES)
        if not self._thread.is_alive():
            os.close(self._read)
            os.close(self._write)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._making:
            self._making = False  # a second one must not interrupt the way out
            raise KeyboardInterrupt

    def made(self) -> None:
        """The node exists: from now on nothing is interrupted."""
        self._making = False

    def call(self, on_signal: Callable[[], None]) -> None:
        """From now on signals call ``on_signal``; at once when one came already."""
        with self._lock:
            self._on_signal = on_signal
            pending = self.received is not None
        if pending:
            on_signal()

    def _watch(self) -> None:
        first = 0.0
        while True:
            number = os.read(self._read, 1)[0]
            if number == 0:
                return
            if number not in _SIGNALS:
                continue
            with self._lock:
                if self.received is None:
                    self.received, first = number, time.monotonic()
                    call = self._on_signal
                elif time.monotonic() - first > _HANGS_AFTER:
                    os._exit(1)
                else:
                    continue
            call()


class CallbackGuard:
    """Keeps an exception in a callback from ending the node: it is logged, throttled, and counted.

    Args:
        node: that logs.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.errors: Counter[str] = Counter()
        self.last = ""

    def __call__(self, callback: Callable) -> Callable:
        """``callback`` that returns its last argument, a service's response, where it would raise."""

        @functools.wraps(callback)
        def guarded(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception as error:  # noqa: BLE001 - see the class
                self.note(getattr(callback, "__name__", "callback"), error)
                return args[-1] if args else None

        return guarded

    def note(self, where: str, error: BaseException) -> None:
        """Count and log an exception."""
        self.errors[where] += 1
        self.last = f"{where}: {type(error).__name__}: {error}"
        self._node.get_logger().error(f"exception in {self.last}", throttle_duration_sec=1.0)


class Deferred:
    """A response that is sent later; see :func:`deferrable`. To be used in the executor's thread."""

    def __init__(self) -> None:
        self._transmit: Callable | None = None
        self._response: Any = None

    def bind(self, transmit: Callable) -> None:
        """How to send; what is to be sent already goes out."""
        self._transmit = transmit
        if self._response is not None:
            self.send(self._response)

    def send(self, response: Any) -> None:
        """Answer the request; a second answer goes nowhere."""
        self._response = response
        if self._transmit is not None:
            transmit, self._transmit = self._transmit, lambda _: None
            with contextlib.suppress(InvalidHandle):
                transmit(response)


def deferrable(service: Service) -> Service:
    """Let the callback of ``service`` return a :class:`Deferred` in place of a response.

    Coroutines would do the same, but not every executor runs them, and others poll them in a busy
    loop until they end.
    """
    send_response = service.send_response

    def send(response: Any, header: Any) -> None:
        if isinstance(response, Deferred):
            response.bind(lambda answer: send_response(answer, header))
        else:
            send_response(response, header)

    service.send_response = send  # type: ignore[method-assign]  # rclpy has no hook for it
    return service


def with_info(callback: Callable[[Any, dict], None]) -> Callable:
    """``callback(message, info)`` for a subscription under any executor: some hand over one pair."""

    @functools.wraps(callback)  # rclpy looks at the signature
    def informed(*args: Any) -> None:
        message, info = args if len(args) == 2 else args[0]
        callback(message, info)

    return informed


def make_executor(context: Context) -> Executor:
    """The events executor where there is one, as it is quicker and steadier; else the single-threaded one."""
    with contextlib.suppress(ImportError):
        from rclpy.experimental import EventsExecutor

        return EventsExecutor(context=context)
    return SingleThreadedExecutor(context=context)


def spin(executor: Executor, context: Context, stop: Future, on_error: Callable[[Exception], None]) -> None:
    """Run callbacks until ``stop`` is done or the context ends; an exception in one ends nothing."""
    single = isinstance(executor, SingleThreadedExecutor)
    while context.ok() and not stop.done():
        try:
            if single:
                executor.spin_once()
            else:
                executor.spin_until_future_complete(stop, _SPIN_FOR)
        except ExternalShutdownException:
            return
        except Exception as error:  # noqa: BLE001 - see above
            on_error(error)


def run(name: str, make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Make a node, spin it until a signal, and end it in order.

    The node may have ``shutdown()``, called while it can still publish, and ``is_stopped()``: after
    ``begin_shutdown()`` it keeps spinning until that says so, or for a second at most. It may also have
    ``companions``, nodes that are spun with it and that it destroys with itself, and a ``thread_priority``.

    Args:
        name: in the message of a node that refuses to start.
        make_node: called after rclpy is initialised; raises MppiMamlError to refuse to start.
        args: command line, None for sys.argv.

    Returns:
        Exit code: 0 after a signal, 2 when the node refused to start.
    """
    given = sys.argv if args is None else args
    with _Signals() as signals:
        try:
            rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        except KeyboardInterrupt:
            return 0
        except Exception as error:  # noqa: BLE001 - a bad argument or parameter file
            print(f"{name} cannot start: {command_line.complaint(error, given)}", file=sys.stderr)
            return 2
        node = executor = None
        try:
            from ..core.kernels import cache  # numba takes its time, and arguments come first

            cache.tell(rclpy.logging.get_logger(name).info)
            node = make_node()
            nodes = (node, *getattr(node, "companions", ()))
            for remark in command_line.remarks(given, *(each.get_name() for each in nodes)):
                node.get_logger().warning(remark)
            signals.made()
            executor = make_executor(node.context)
            for each in nodes:
                executor.add_node(each)
            if complaint := prioritise(getattr(node, "thread_priority", 0)):
                node.get_logger().info(f"no real-time priority: {complaint}")
            gc.collect()
            gc.freeze()  # what lives as long as the process need not be looked through again
            stop = Future()

            def finish() -> None:
                if not stop.done():
                    stop.set_result(None)
                    with contextlib.suppress(Exception):
                        executor.wake()

            signals.call(finish)
            on_error = getattr(node, "on_spin_error", lambda error: _log_error(node, error))
            spin(executor, node.context, stop, on_error)
            _end(node, executor, on_error)
            return 0
        except KeyboardInterrupt:
            return 0
        except (MppiMamlError, ParameterException) as error:  # the latter of what rclpy declares itself
            rclpy.logging.get_logger(name).fatal(f"cannot start: {error}")
            return 2
        finally:
            signals.made()
            with _killed_after(_HANGS_AFTER):
                if executor is not None:
                    with contextlib.suppress(Exception):
                        executor.shutdown()
                if node is not None:
                    with contextlib.suppress(Exception):
                        node.destroy_node()
                rclpy.try_shutdown()


@contextlib.contextmanager
def _killed_after(duration: float) -> Iterator[None]:
    """The kernel ends the process if this takes longer [s].

    Fast DDS can wait for ever for a participant that it destroys while it discovers another one; it does
    so with Python's lock held, so that nothing that is written in Python would run.
    """
    handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    timer = signal.setitimer(signal.ITIMER_REAL, duration)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)  # of whoever called us


def leave(code: int) -> NoReturn:
    """End the process of a node that :func:`run` has ended.

    At once: nothing is left to be done, and threads of the middleware may hang at the interpreter's end.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _log_error(node: Node, error: Exception) -> None:
    node.get_logger().error(f"exception while spinning: {error!r}", throttle_duration_sec=1.0)


def _end(node: Node, executor: Executor, on_error: Callable[[Exception], None]) -> None:
    """Let the node come to rest, then let it say its last word."""
    begin: Callable[[], None] | None = getattr(node, "begin_shutdown", None)
    stopped: Any = getattr(node, "is_stopped", None)
    try:
        if begin is not None and node.context.ok():
            begin()
            deadline = time.monotonic() + 1.0
            while not stopped() and time.monotonic() < deadline and node.context.ok():
                executor.spin_once(timeout_sec=0.05)
    except Exception as error:  # noqa: BLE001 - the last word has to be said in any case
        on_error(error)
    if hasattr(node, "shutdown") and node.context.ok():
        node.shutdown()
