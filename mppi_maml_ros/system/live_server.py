"""Serves the live page: its state as server-sent events, parameters to read and to set; knows no ROS.

Only pages of this server are answered: a name in ``Host`` that is not this machine's may be another site's
that was pointed here, and a foreign ``Origin`` is another site's script.
"""

from __future__ import annotations

import ipaddress
import json
import math
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..core.errors import InvalidValueError, MppiMamlError
from .pages import page, to_json

_LONGEST = 16384  # [bytes] of a request's body
_WATCHERS = 8  # pages at once
_SILENCE = 10.0  # [s] after which a connection is given up
_RULES = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
_RULES += "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class UnreachableError(MppiMamlError):
    """A node that is not there, or does not answer."""


class Desk(Protocol):
    """Where parameters are read and set; called from the threads of requests."""

    def parameters(self) -> list[dict[str, Any]]:
        """Those that may be set, see :meth:`.live_parameters.ParameterDesk.parameters`."""

    def set_parameter(self, node: str, name: str, value: Any) -> Any:
        """Set one, and return its value.

        Raises:
            InvalidValueError: the node refuses; the message says what is allowed.
            UnreachableError: it does not answer.
        """


def is_own_host(header: str, bound: str) -> bool:
    """Whether a ``Host`` header names this machine: an address, localhost, its name, or where it is bound."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        own = socket.gethostname().lower()
        return name in {"localhost", bound.lower(), own, f"{own}.local"}


class LiveServer(ThreadingHTTPServer):
    """Listens from its making until its end as a context.

    Args:
        desk: for parameters.
        host: address or name to bind to.
        port: 0 for any.

    Raises:
        InvalidValueError: host and port cannot be bound to.
    """

    daemon_threads = True

    def __init__(self, desk: Desk, host: str = "127.0.0.1", port: int = 8080) -> None:
        self.desk, self.host = desk, host
        self.page = page("live").encode()
        self.count, self.watchers, self.closing = 0, 0, False
        self._state: Mapping[str, Any] = {}
        self._text: bytes | None = None  # of the state, once somebody asks
        self.changed = threading.Condition()  # its lock is an RLock
        try:
            self.address_family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__((str(address[0]), int(address[1])), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidValueError(f"cannot listen on {host}, port {port}: {error}") from error
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks the network for its own name
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.server_port}/"

    def publish(self, state: Mapping[str, Any]) -> None:
        """Send a state, which stays as it is from now on, to all that watch."""
        with self.changed:
            self._state, self._text, self.count = state, None, self.count + 1
            self.changed.notify_all()

    @property
    def state(self) -> bytes:
        """The newest, as JSON."""
        with self.changed:
            if self._text is None:
                self._text = to_json(self._state).encode()
            return self._text

    def next_state(self, seen: int) -> tuple[int, bytes] | None:
        """Wait for another state than the one of this number; its number and text, None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.count != seen or self.closing)
            return None if self.closing else (self.count, self.state)

    def __exit__(self, *details: Any) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.shutdown()
        self._thread.join()
        super().__exit__(*details)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that went away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    protocol_version, timeout = "HTTP/1.1", _SILENCE
    server_version, sys_version = "mppi-maml", ""

    def do_GET(self) -> None:
        if not self._is_own():
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._answer(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        elif path == "/state":
            self._answer(HTTPStatus.OK, self.server.state)
        elif path == "/events":
            self._stream()
        elif path == "/parameters":
            self._try(lambda: self.server.desk.parameters())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no {path}")

    def do_POST(self) -> None:
        if not self._is_own():
            return
        origin, length = self.headers.get("Origin"), self.headers.get("Content-Length", "")
        if origin is not None and urlsplit(origin).netloc != self.headers["Host"]:
            self._refuse(HTTPStatus.FORBIDDEN, f"{origin} is another site")
        elif urlsplit(self.path).path != "/parameters":
            self._refuse(HTTPStatus.NOT_FOUND, f"nothing is to be sent to {self.path}")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
        elif not length.isdecimal() or int(length) > _LONGEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {_LONGEST} bytes")
        else:
            body = self.rfile.read(int(length))
            self._try(lambda: self._set(body))

    def _set(self, body: bytes) -> dict[str, Any]:
        try:
            wish = json.loads(body)
            node, name, value = str(wish["node"]), str(wish["name"]), wish["value"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidValueError("a body is {node, name, value} as JSON") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidValueError(f"{name} must be finite")
        return {"value": self.server.desk.set_parameter(node, name, value)}

    def _is_own(self) -> bool:
        host = self.headers.get("Host", "")
        if not is_own_host(host, self.server.host):
            self._refuse(HTTPStatus.FORBIDDEN, f"{host or 'no host'} is not this machine")
            return False
        return True

    def _try(self, ask: Any) -> None:
        try:
            self._answer(HTTPStatus.OK, to_json(ask()).encode())
        except InvalidValueError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except UnreachableError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    def _stream(self) -> None:
        server, seen = self.server, 0
        with server.changed:
            full = server.watchers >= _WATCHERS
            server.watchers += not full
        if full:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{_WATCHERS} pages are open already")
            return
        try:
            self.close_connection = True
            self._begin(HTTPStatus.OK, "text/event-stream")
            while (state := server.next_state(seen)) is not None:
                seen, text = state
                self.wfile.write(b"data: " + text + b"\n\n")
        finally:
            with server.changed:
                server.watchers -= 1

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True  # a body may be left unread
        self._answer(status, to_json({"error": reason}).encode())

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "application/json") -> None:
        self._begin(status, kind, {"Content-Length": str(len(body))})
        self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        fixed = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        if self.close_connection:
            fixed["Connection"] = "close"
        for key, value in {
            "Content-Type": kind,
            "Content-Security-Policy": _RULES,
            **fixed,
            **(more or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is for people."""
