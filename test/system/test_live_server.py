"""The live page's server: its state, its parameters, and whom it does not answer."""

import http.client
import json
import re
import socket
import threading

import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.system.live_server import LiveServer, UnreachableError, is_own_host


class Desk:
    def __init__(self):
        self.values = {"temperature": 1.0}

    def parameters(self):
        return [{"node": "mppi_controller", "name": name, "value": v} for name, v in self.values.items()]

    def set_parameter(self, node, name, value):
        if node != "mppi_controller":
            raise UnreachableError(f"{node} does not answer")
        if not 0.1 <= value <= 10.0:
            raise InvalidValueError(f"{name} must be in [0.1, 10], got {value}")
        self.values[name] = value
        return value


@pytest.fixture
def server():
    with LiveServer(Desk(), port=0) as running:
        yield running


def ask(server, method, path, body=None, address="127.0.0.1", **headers):
    """Status and text of an answer; ``__`` in a header stands for a hyphen."""
    connection = http.client.HTTPConnection(address, server.server_port, timeout=5)
    named = {name.replace("__", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def wish(server, value, node="mppi_controller", kind="application/json", **headers):
    body = json.dumps({"node": node, "name": "temperature", "value": value})
    answer, text = ask(server, "POST", "/parameters", body, Content__Type=kind, **headers)
    return answer.status, json.loads(text)


def watch(server):
    """The lines of events of an open page."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type") == "text/event-stream"
    return connection, (line for line in answer if line.strip())


def test_the_page_is_one_file_that_asks_nobody_else(server):
    answer, text = ask(server, "GET", "/")
    assert answer.status == 200 and answer.getheader("Content-Type") == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
    assert "prefers-color-scheme" in text and "function draw(" in text and "{{" not in text
    assert not re.search(r"https?://|src=|<link", text)


def test_a_state_is_json_without_nan(server):
    server.publish({"error": [0.123456789, float("nan"), float("inf")], "reason": "</script>"})
    answer, text = ask(server, "GET", "/state")
    assert json.loads(text) == {"error": [0.12346, None, None], "reason": "</script>"}
    assert "<" not in text and answer.getheader("Cache-Control") == "no-store"


def test_states_are_sent_as_they_come_and_the_stream_ends_with_the_server():
    with LiveServer(Desk(), port=0) as server:
        server.publish({"k": 0})
        connection, lines = watch(server)
        for k in range(3):
            assert next(lines) == b'data: {"k":%d}\n' % k
            server.publish({"k": k + 1})
        assert server.watchers == 1
    assert list(lines)[-1:] in ([], [b'data: {"k":3}\n'])
    connection.close()


def test_so_many_pages_may_watch_and_one_that_went_away_makes_room(server):
    server.publish({})
    pages = [watch(server) for _ in range(8)]
    answer, text = ask(server, "GET", "/events")
    assert answer.status == 503 and "8 pages are open already" in text
    for connection, lines in pages:
        lines.close()
        connection.close()
    left = threading.Event()
    for _ in range(500):
        server.publish({"more": "x" * 10000})
        if server.watchers == 0:
            left.set()
            break
        left.wait(0.01)
    assert left.is_set()
    watch(server)[0].close()


def test_a_parameter_is_set_within_its_range_and_refused_beyond(server):
    assert wish(server, 0.5) == (200, {"value": 0.5})
    assert wish(server, 99.0) == (422, {"error": "temperature must be in [0.1, 10], got 99.0"})
    assert wish(server, 1.0, node="adaptation") == (503, {"error": "adaptation does not answer"})
    answer, text = ask(server, "GET", "/parameters")
    assert [one["value"] for one in json.loads(text)] == [0.5]


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil.example", "null", ""])
def test_another_site_sets_nothing(server, origin):
    status, said = wish(server, 0.5, Origin=origin)
    assert status == 403 and "another site" in said["error"]
    assert server.desk.values == {"temperature": 1.0}


def test_another_port_of_this_machine_is_another_site(server):
    assert wish(server, 0.5, Origin="http://127.0.0.1:1")[0] == 403
    assert wish(server, 0.5, Origin=f"http://127.0.0.1:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "method, path", [("GET", "/"), ("GET", "/state"), ("GET", "/events"), ("POST", "/parameters")]
)
def test_a_name_that_was_pointed_here_is_refused(server, method, path):
    body = json.dumps({"node": "mppi_controller", "name": "temperature", "value": 0.5})
    host = {"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}
    answer, text = ask(server, method, path, body, Content__Type="application/json", **host)
    assert answer.status == 403 and "evil.example:8080 is not this machine" in text
    assert server.desk.values == {"temperature": 1.0}


def test_names_of_this_machine():
    name = socket.gethostname()
    for header in (
        "localhost",
        "LOCALHOST:80",
        "127.0.0.1:8080",
        "[::1]:8080",
        "192.168.1.7",
        name,
        f"{name}.local:1",
    ):
        assert is_own_host(header, "127.0.0.1"), header
    assert is_own_host("robot.lan:8080", "robot.lan")
    for header in ("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[", "robot.lan"):
        assert not is_own_host(header, "127.0.0.1"), header


@pytest.mark.parametrize(
    "status, kind, body",
    [
        (415, "text/plain", "{}"),
        (422, "application/json", "{"),
        (422, "application/json", "[1]"),
        (422, "application/json", '{"node": "mppi_controller", "name": "temperature"}'),
        (422, "application/json", '{"node": "mppi_controller", "name": "temperature", "value": NaN}'),
        (413, "application/json", " " * 20000),
    ],
)
def test_what_is_no_wish_is_refused_with_a_sentence(server, status, kind, body):
    answer, text = ask(server, "POST", "/parameters", body, Content__Type=kind)
    assert answer.status == status and json.loads(text)["error"]
    assert server.desk.values == {"temperature": 1.0}


def test_other_places_and_methods_are_refused(server):
    assert ask(server, "GET", "/etc/passwd")[0].status == 404
    assert ask(server, "POST", "/state", "{}")[0].status == 404
    assert ask(server, "DELETE", "/parameters")[0].status == 501


def test_only_this_machine_hears_unless_told_otherwise(server):
    assert server.url == f"http://127.0.0.1:{server.server_port}/"
    with pytest.raises(ConnectionRefusedError):
        ask(server, "GET", "/", address="127.0.0.2")
    with LiveServer(Desk(), host="0.0.0.0", port=0) as open_to_all:
        assert ask(open_to_all, "GET", "/", address="127.0.0.2")[0].status == 200


def test_a_port_in_use_and_a_host_that_is_none_are_told(server):
    with pytest.raises(InvalidValueError, match=f"cannot listen on 127.0.0.1, port {server.server_port}"):
        LiveServer(Desk(), port=server.server_port)
    with pytest.raises(InvalidValueError, match="cannot listen on no such host"):
        LiveServer(Desk(), host="no such host", port=0)
