"""The pages in a real browser: chromium is told what to do over its debugging pipe."""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.system.bag_report import write_report
from mppi_maml_ros.system.live_server import LiveServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe"
PIPES = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
PIPES += "os.execv(sys.argv[3], sys.argv[3:])"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")


class Browser:
    """One page; ``errors`` are what its scripts threw and what its rules refused."""

    def __init__(self, folder):
        ours, theirs = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (theirs[0], ours[1])]
        command = [sys.executable, "-c", PIPES, *map(str, ends), CHROMIUM, *FLAGS.split()]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={folder}", "about:blank"], pass_fds=ends, **quiet
        )
        for end in (*ends, theirs[0], ours[1]):
            os.close(end)
        self._read, self._write = os.fdopen(ours[0], "rb"), os.fdopen(theirs[1], "wb", buffering=0)
        self._numbers, self._buffer, self.errors, self._session = itertools.count(1), b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        self._write.write(json.dumps(request).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                piece = self._read.read1(1 << 20)
                assert piece, "the browser is gone"
                self._buffer += piece
            text, self._buffer = self._buffer.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url, width=1280, dark=False):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def ask(self, script):
        """The value of a script."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def until(self, script, timeout=20.0):
        """The value of a script, once there is one."""
        end = time.monotonic() + timeout
        while not (value := self.ask(script)):
            assert time.monotonic() < end, f"not within {timeout} s: {script}; {self.errors}"
        return value

    def close(self):
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._read.close()
        self._write.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def no_errors(browser):
    browser.call("Page.navigate", url="about:blank")  # the page before looks for its server, which has ended
    browser.errors.clear()
    yield
    unforeseen = [error for error in browser.errors if "422" not in error]
    assert unforeseen == []


class Desk:
    def __init__(self):
        self.speed, self.learn = 0.5, True

    def parameters(self):
        common = {"node": "mppi_controller", "description": "Of the robot [m/s]"}
        return [
            common | {"name": "speed", "type": "float", "value": self.speed, "low": 0.0, "high": 20.0},
            common | {"name": "learn", "type": "bool", "value": self.learn},
            common | {"name": "goal.power", "type": "int", "value": 2, "low": 1, "high": 4},
            common | {"name": "timing", "type": "str", "value": "auto", "choices": ["auto", "clock"]},
        ]

    def set_parameter(self, node, name, value):
        if name == "speed" and not 0.0 <= value <= 20.0:
            raise InvalidValueError(f"speed must be in [0, 20], got {value}")
        setattr(self, name, value)
        return value


def state():
    t = np.linspace(0.0, 10.0, 101)
    circle = [np.cos(t).tolist(), np.sin(t).tolist()]
    controller = {
        "state": "running",
        "reason": "<b>slow</b>",
        "command": [0.5, 0.1],
        "tracking_error": 0.012,
        "heading_error": 0.1,
        "step_ms": 2.0,
        "cycles": 100,
        "late_cycles": 1,
        "weights_version": 3,
    }
    adaptation = {
        "state": "active",
        "adapter": "physics",
        "reason": "better",
        "samples": 200,
        "delay": 0.05,
        "gain": [0.6, float("nan")],
        "time_constant": [0.2, 0.3],
        "swaps_accepted": 3,
        "swaps_rejected": 1,
        "changes_detected": 0,
    }
    lines = dict.fromkeys(("error", "v", "v_command", "omega", "omega_command"), t)
    held = {"held_t": t, "held_prior": t + 1.0, "held_current": 1e-6 * t}
    return {
        "t": t,
        **lines,
        **held,
        "silent": 0.1,
        "controller": controller,
        "adaptation": adaptation,
        "pose": [1.0, 0.0, 1.57],
        "trail": circle,
        "reference": circle,
        "plan": [[], []],
        "best": [[1.0, 1.0], [0.0, 0.5]],
        "candidates": [[[1.0, 1.2], [0.0, 0.5], 0.0], [[1.0, 0.8], [0.0, 0.5], 1.0]],
        "events": ["12:00:00  swap accepted"],
        "changes": 0,
    }


@pytest.fixture
def server():
    """A server that is told the same state over and over, as by a robot that goes on."""
    over = threading.Event()
    with LiveServer(Desk(), port=0) as running:

        def tell():
            while not over.wait(0.05):
                running.publish(state())

        thread = threading.Thread(target=tell)
        thread.start()
        yield running
        over.set()
        thread.join()


SHOWN = (
    "document.getElementById('state').textContent === 'running' && !!document.querySelector('.sliders label')"
)
WIDTHS = "[document.documentElement.scrollWidth, innerWidth]"
BLANK = """[...document.querySelectorAll('canvas')].filter(c => { const d = c.getContext('2d')
  .getImageData(0, 0, c.width, c.height).data; return !d.some(v => v); }).length"""
FIELD = "[...document.querySelectorAll('.sliders label')].find(l => l.dataset.name === 'speed')"


def change(browser, which, value):
    browser.ask(
        f"{{ const e = {FIELD}.querySelector('input[type={which}]'); e.value = {value};"
        " e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); }"
    )


def test_the_page_shows_what_comes(browser, server):
    browser.open(server.url)
    browser.until(SHOWN)
    text = browser.ask("document.body.innerText")
    for said in ("0.012", "<b>slow</b>", "physics", "0.60, –", "0.050 s", "version 3", "swap accepted"):
        assert said in text
    assert browser.ask("document.querySelectorAll('canvas').length") == 4
    assert browser.until(f"{BLANK} === 0")


def test_a_slider_sets_a_parameter_and_cannot_leave_its_range(browser, server):
    browser.open(server.url)
    browser.until(SHOWN)
    for share, value in ((1.0, 20.0), (0.5, 0.5), (0.0, 0.0), (7.0, 20.0)):
        change(browser, "range", share)
        browser.until(f"document.getElementById('said').textContent === 'speed is {value:g}'")
        assert server.desk.speed == value


def test_a_number_out_of_range_is_refused_and_the_old_one_shown_again(browser, server):
    browser.open(server.url)
    browser.until(SHOWN)
    change(browser, "number", 99)
    said = browser.until("document.querySelector('#said.bad') && document.getElementById('said').textContent")
    assert said == "speed must be in [0, 20], got 99"
    assert (
        browser.ask(f"{FIELD}.querySelector('input[type=number]').value") == "0.5"
        and server.desk.speed == 0.5
    )


def test_switches_and_choices_are_set(browser, server):
    browser.open(server.url)
    browser.until(SHOWN)
    browser.ask("document.querySelector('input[type=checkbox]:not(#close)').click()")
    browser.until("document.getElementById('said').textContent === 'learn is false'")
    browser.ask(
        "{ const s = document.querySelector('select'); s.value = 'clock';"
        " s.dispatchEvent(new Event('change')); }"
    )
    browser.until("document.getElementById('said').textContent === 'timing is clock'")
    assert server.desk.learn is False and server.desk.timing == "clock"


def test_a_parameter_is_found_by_its_name(browser, server):
    browser.open(server.url, width=375)
    browser.until(SHOWN)
    browser.ask("{ const s = document.getElementById('search'); s.value = 'pow'; s.oninput(); }")
    seen = "[...document.querySelectorAll('label')].filter(l => l.offsetHeight && l.dataset.name)"
    seen += ".map(l => l.dataset.name)"
    assert browser.ask(seen) == ["goal.power"]


def test_a_server_that_ended_is_told(browser):
    with LiveServer(Desk(), port=0) as server:
        browser.open(server.url)
        server.publish(state())
        browser.until(SHOWN)
    browser.until("document.getElementById('state').textContent === 'no connection'")
    browser.call("Page.navigate", url="about:blank")
    browser.errors.clear()  # of the connection


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_the_page_without_scrolling_sideways(browser, server, dark):
    browser.open(server.url, width=375, dark=dark)
    browser.until(SHOWN)
    browser.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.ask(WIDTHS) == [375, 375]
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, ground[4:-1].split(","))) < 64) == dark


def test_a_report_fits_a_phone_and_shows_the_whole_path(browser, tmp_path, record_drive):
    pytest.importorskip("rosbags.rosbag2")
    page = write_report(record_drive(tmp_path / "run", "MCAP"), tmp_path / "page.html")
    browser.open(page.as_uri(), width=375)
    browser.until("document.querySelectorAll('canvas').length === 3")
    assert browser.until(f"{BLANK} === 0")
    assert browser.ask(WIDTHS) == [375, 375]
    assert browser.ask("document.querySelector('canvas').clientWidth") > 300
    browser.open(page.as_uri(), width=1280)
    browser.until("innerWidth === 1280 && document.querySelector('canvas').clientWidth > 700")
    assert browser.ask("document.querySelector('canvas').clientHeight") >= 260
