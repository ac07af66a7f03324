"""``mppi-maml report``: a recorded run as one HTML page with charts; needs no ROS."""

from __future__ import annotations

import html
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ..bags.bag import read_bag
from ..bags.raw import full_name
from ..core.angles import yaw_from_quaternion
from ..core.errors import InvalidValueError, MppiMamlError
from .pages import page, to_json

_Data = dict[str, dict[str, np.ndarray]]  # see read_data

_STATES = ("waiting for odometry", "waiting for plan", "running", "stopping", "stopped", "goal reached")
_DECISIONS = (
    *("no attempt", "accepted", "skipped: no excitation", "skipped: too few samples", "skipped: busy"),
    *("rejected: not finite", "rejected: norm", "rejected: held-out data", "rejected by the controller"),
    *("swap unavailable", "rolled back"),
)
_POINTS = 1500  # of a line over time, at most: the lowest and the highest of each stretch
_FINEST = 500  # points of a path are no nearer to each other than this part of its size


@attrs.frozen
class Choice:
    """Which robot, and which of its topics, where a bag holds several; empty for the usual names."""

    namespace: str = ""
    odom_topic: str = ""
    cmd_topic: str = ""


def read_data(path: Path, choice: Choice = Choice()) -> tuple[_Data, dict[str, str]]:
    """What the report needs of a bag.

    Returns:
        ``odom``, ``cmd_vel``, ``controller``, ``adaptation``, ``truth`` and ``critics``, each a record of
        arrays with ``t`` [s since the first message], missing ones absent; and what to know of it,
        by subject.

    Raises:
        InvalidValueError: several topics could be meant; the message names them and the option.
        MppiMamlError: it is not a bag, or one without any of these; see :func:`..bags.bag.read_bag`.
    """
    kinds = {kind for part in _PARTS for kind in part.readers}
    bag = read_bag(path, lambda topic, kind: kind in kinds)
    found: _Data = {}
    said = {"remark" if len(bag.remarks) == 1 else f"remark {k + 1}": r for k, r in enumerate(bag.remarks)}
    begin = min((m.recorded for m in bag.messages), default=0)
    counts = Counter((m.topic, m.kind) for m in bag.messages)
    for part in _PARTS:
        topic, others = _chosen(part, counts, choice)
        if not topic:
            continue
        kind = max(part.readers, key=lambda kind: counts[topic, kind])
        others += [f"{topic} as {k}" for k in part.readers if k != kind and counts[topic, k]]
        rows = [
            row | {"t": 1e-9 * (m.recorded - begin)}
            for m in bag.messages
            if (m.topic, m.kind) == (topic, kind) and (row := part.readers[kind](m.value))
        ]
        if rows:
            said[part.meaning] = topic + (f"; not {', '.join(others)}" if others else "")
            keys = dict.fromkeys(key for row in rows for key in row)
            found[part.name] = {key: np.array([row.get(key, np.nan) for row in rows]) for key in keys}
    if not found:
        raise MppiMamlError(f"{path} holds no odometry, commands or status; it holds {bag.holding(())}")
    return found, said


def _chosen(part: _Part, counts: Counter[tuple[str, str]], choice: Choice) -> tuple[str, list[str]]:
    """The topic that is meant, and the others of its type; empty when there is none."""
    topics = sorted({topic for topic, kind in counts if kind in part.readers})
    wanted = getattr(choice, part.option, "")
    space = f"/{choice.namespace.strip('/')}/".replace("//", "/")
    usual = space + part.usual
    if wanted:
        likely = [topic for topic in topics if topic == full_name(wanted)]
        if not likely:
            there = ", ".join(topics) or "no such topic"
            raise InvalidValueError(f"no {part.meaning} on {wanted}; there is {there}")
    else:
        within = [topic for topic in topics if topic.startswith(space)]
        named = [topic for topic in within if topic.endswith(f"/{part.usual}")]
        likely = [usual] if usual in within else named or within
    if len(likely) > 1:
        how = f"one with --{part.option.replace('_', '-')}, or " if part.option else ""
        raise InvalidValueError(
            f"several topics are {part.meaning}, {', '.join(likely)}: name {how}a robot with --namespace"
        )
    chosen = "".join(likely)
    return chosen, [topic for topic in topics if topic != chosen]


def _pose(pose: Any) -> dict[str, Any]:
    q = pose.orientation
    return {"x": pose.position.x, "y": pose.position.y, "yaw": yaw_from_quaternion(q.x, q.y, q.z, q.w)}


def _twist(twist: Any) -> dict[str, Any]:
    return {"v": twist.linear.x, "omega": twist.angular.z}


def _controller(m: Any) -> dict[str, Any]:
    fields = ("state", "tracking_error", "heading_error", "step_ms", "period_ms", "weights_version")
    reference = _pose(m.reference) if m.state == 2 else {"x": np.nan, "y": np.nan, "yaw": np.nan}
    return {field: getattr(m, field) for field in fields} | reference


def _adaptation(m: Any) -> dict[str, Any]:
    fields = (
        *("decision", "samples", "held_out_prior", "held_out_current", "held_out_candidate", "adapt_ms"),
        *("weights_version", "swaps_accepted", "swaps_rejected", "changes_detected", "delay"),
    )
    axes = {f"gain_{a}": m.gain[i] for i, a in enumerate("vw")}
    axes |= {f"time_constant_{a}": m.time_constant[i] for i, a in enumerate("vw")}
    return {field: getattr(m, field) for field in fields} | axes


def _critics(m: Any) -> dict[str, Any]:
    """Costs by critic; nothing where another node reports."""
    for status in m.status:
        if status.name == "mppi_controller: critics":
            return {pair.key: float(pair.value) for pair in status.values}
    return {}


@attrs.frozen
class _Part:
    """Of the report's data: its name, its topic's usual name, what that is, the option that names it."""

    name: str
    usual: str
    meaning: str
    readers: dict[str, Callable[[Any], dict[str, Any]]]
    option: str = ""


_PARTS = (
    _Part(
        "odom",
        "odom",
        "odometry",
        {"nav_msgs/msg/Odometry": lambda m: _pose(m.pose.pose) | _twist(m.twist.twist)},
        "odom_topic",
    ),
    _Part(
        "cmd_vel",
        "cmd_vel",
        "commands",
        {"geometry_msgs/msg/Twist": _twist, "geometry_msgs/msg/TwistStamped": lambda m: _twist(m.twist)},
        "cmd_topic",
    ),
    _Part(
        "truth",
        "dynamic_world/world_state",
        "true state",
        {"mppi_maml_ros/msg/WorldState": lambda m: _pose(m.pose) | _twist(m.twist)},
    ),
    _Part(
        "controller",
        "mppi_controller/status",
        "controller's status",
        {"mppi_maml_ros/msg/ControllerStatus": _controller},
    ),
    _Part(
        "adaptation",
        "adaptation/status",
        "adaptation's status",
        {"mppi_maml_ros/msg/AdaptationStatus": _adaptation},
    ),
    _Part("critics", "diagnostics", "costs by critic", {"diagnostic_msgs/msg/DiagnosticArray": _critics}),
)


def write_report(
    bag: Path, out: Path, choice: Choice = Choice(), say: Callable[[str], None] = lambda _: None
) -> Path:
    """Read ``bag`` and write the page ``out``; returns it.

    Args:
        say: is told which topics were read, and what was not as it should be; the page says it too.

    Raises:
        MppiMamlError: see :func:`read_data`.
    """
    data, said = read_data(bag, choice)
    for subject, sentence in said.items():
        say(f"{subject}: {sentence}")
    charts = [
        (title, place, draw(data))
        for title, place, draw, needed in (
            ("Where it drove", "big", _path, "odom"),
            ("Tracking error", "", _error, "controller"),
            ("Adaptation: prediction error on held-out data", "", _held_out, "adaptation"),
            ("Forward velocity", "", lambda data: _twist_chart(data, "v", "v [m/s]"), "cmd_vel"),
            ("Yaw rate", "", lambda data: _twist_chart(data, "omega", "ω [rad/s]"), "cmd_vel"),
            ("What the chosen way costs, and who says so", "wide", _costs, "critics"),
            ("Learned: gain", "third", lambda data: _learned(data, "gain", "gain [-]"), "adaptation"),
            (
                "Learned: time constant",
                "third",
                lambda data: _learned(data, "time_constant", "[s]"),
                "adaptation",
            ),
            ("Learned: command delay", "third", _delay, "adaptation"),
        )
        if needed in data
    ]
    sections = [
        _section(title, place, f"<canvas role=img aria-label='{title}'></canvas>")
        for title, place, _ in charts
    ]
    sections.insert(1, _section("The run", "third" if "odom" in data else "", _facts(data, said)))
    name = html.escape(Path(bag).name)
    text = page("report", title=name, sections="".join(sections), data=to_json([spec for *_, spec in charts]))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(text, encoding="utf-8")
    return Path(out)


def _section(title: str, place: str, content: str) -> str:
    return f"<section class='{place}'><h2>{title}</h2>{content}</section>"


def _facts(data: _Data, said: dict[str, str]) -> str:
    rows = [*said.items(), ("duration", f"{max(part['t'][-1] for part in data.values()):.1f} s")]
    if "controller" in data:
        c = data["controller"]
        error = c["tracking_error"][(c["state"] == 2) & np.isfinite(c["tracking_error"])]
        if len(error):
            rows.append(("tracking error, RMS", f"{np.sqrt(np.mean(error**2)):.4f} m"))
            rows.append(("tracking error, largest", f"{error.max():.4f} m"))
        late = c["period_ms"][1:] > 1.2 * np.median(c["period_ms"][1:]) if len(c["t"]) > 2 else np.zeros(1)
        step = c["step_ms"]
        rows.append(
            ("control step, median and p99", f"{np.median(step):.2f}, {np.percentile(step, 99):.2f} ms")
        )
        rows.append(("late periods", f"{np.mean(late):.2%}"))
        rows.append(("states", ", ".join(_words(_STATES, c["state"]))))
    if "adaptation" in data:
        a = data["adaptation"]
        rows.append(("swaps accepted, rejected", f"{a['swaps_accepted'][-1]}, {a['swaps_rejected'][-1]}"))
        rows.append(("changes detected", str(a["changes_detected"][-1])))
        rows.append(("decisions", "; ".join(_words(_DECISIONS, a["decision"]))))
    cells = "".join(f"<tr><th>{html.escape(k)}<td>{html.escape(v)}" for k, v in rows)
    return f"<table>{cells}</table>"


def _words(names: tuple[str, ...], codes: np.ndarray) -> list[str]:
    """Each code once; one of a later version by its number."""
    return [names[c] if c < len(names) else f"code {c}" for c in dict.fromkeys(codes.tolist())]


def _line(t: np.ndarray, y: np.ndarray, colour: str, label: str = "", **more: Any) -> dict[str, Any]:
    """A line over time, thinned."""
    y, stretch = np.asarray(y, dtype=float), -(-2 * len(t) // _POINTS)
    if stretch > 2:
        kept: list[int] = []
        for k in range(0, len(t), stretch):
            part, known = y[k : k + stretch], np.isfinite(y[k : k + stretch])
            ends = {np.where(known, part, np.inf).argmin(), np.where(known, part, -np.inf).argmax()}
            kept += sorted(k + int(end) for end in ends)
        t, y = t[kept], y[kept]
    return {"x": t, "y": y, "colour": colour, "label": label, **more}


def _track(part: dict[str, np.ndarray], colour: str, label: str, **more: Any) -> dict[str, Any]:
    """A path, thinned."""
    x, y = (np.asarray(part[key], dtype=float) for key in "xy")
    known = np.isfinite(x) & np.isfinite(y)
    size = max(np.ptp(side[known]) for side in (x, y)) if known.any() else 0.0
    kept: list[int] = []
    for k in range(len(x)):
        near = kept and known[k] and known[kept[-1]]
        if not near or np.hypot(x[k] - x[kept[-1]], y[k] - y[kept[-1]]) >= size / _FINEST:
            kept.append(k)
    return {"x": x[kept], "y": y[kept], "colour": colour, "label": label, **more}


def _path(data: _Data) -> dict[str, Any]:
    series = [_track(data["truth" if "truth" in data else "odom"], "a", "robot")]
    if "controller" in data:
        series.append(_track(data["controller"], "ink", "reference", dash=[5, 4], width=1.2))
    return {"series": series, "x": "x [m]", "y": "y [m]", "equal": True, "lowest": 260, "highest": 680}


def _chart(series: list[dict[str, Any]], label: str, **more: Any) -> dict[str, Any]:
    return {"series": series, "x": "time [s]", "y": label, **more}


def _swaps(data: _Data) -> dict[str, Any]:
    """Marks of accepted swaps and detected changes, with a line each for the legend."""
    if "adaptation" not in data:
        return {"series": [], "marks": []}
    found: dict[str, Any] = {"series": [], "marks": []}
    a = data["adaptation"]
    for field, label, look in (
        ("swaps_accepted", "swap accepted", {"colour": "a", "dash": [], "foot": True}),
        ("changes_detected", "change detected", {"colour": "warn", "dash": [2, 3]}),
    ):
        times = a["t"][1:][np.diff(a[field].astype(int)) > 0]
        found["marks"] += [{"x": time, **look} for time in times]
        if len(times):
            found["series"].append({"x": [None], "y": [None], "label": label, **look})
    return found


def _error(data: _Data) -> dict[str, Any]:
    c, swaps = data["controller"], _swaps(data)
    error = _line(c["t"], np.where(c["state"] == 2, c["tracking_error"], np.nan), "b", "tracking error")
    return _chart([error, *swaps["series"]], "error [m]", zero=True, marks=swaps["marks"])


def _twist_chart(data: _Data, key: str, label: str) -> dict[str, Any]:
    series = [_line(data["odom"]["t"], data["odom"][key], "a", "odometry")] if "odom" in data else []
    command = _line(data["cmd_vel"]["t"], data["cmd_vel"][key], "c", "command", width=1.2)
    return _chart([*series, command], label)


def _costs(data: _Data) -> dict[str, Any]:
    costs, looks = data["critics"], [(c, d) for d in ([], [6, 3], [2, 3]) for c in ("a", "b", "c", "warn")]
    names = {name: name if (costs[name] > 0.0).any() else f"{name} (0)" for name in costs if name != "t"}
    lines = [
        _line(costs["t"], costs[name], colour, label, dash=dash)
        for (name, label), (colour, dash) in zip(names.items(), itertools.cycle(looks), strict=False)
    ]
    return _chart(lines, "cost", log=True)


def _held_out(data: _Data) -> dict[str, Any]:
    a, swaps = data["adaptation"], _swaps(data)
    kinds = (("prior", "b", "prior"), ("current", "a", "what serves"), ("candidate", "dim", "candidate"))
    lines = [_line(a["t"], a[f"held_out_{key}"], colour, label) for key, colour, label in kinds]
    return _chart([*lines, *swaps["series"]], "error [m²]", log=True, marks=swaps["marks"])


def _learned(data: _Data, key: str, label: str) -> dict[str, Any]:
    a = data["adaptation"]
    lines = [
        _line(a["t"], a[f"{key}_{axis}"], colour, name)
        for axis, name, colour in (("v", "v", "a"), ("w", "ω", "c"))
    ]
    return _chart(lines, label, zero=True)


def _delay(data: _Data) -> dict[str, Any]:
    a = data["adaptation"]
    return _chart([_line(a["t"], a["delay"], "a")], "[s]", zero=True)
