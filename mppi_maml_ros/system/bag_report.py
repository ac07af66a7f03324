"""``mppi-maml report``: a recorded run as one HTML page with figures; needs no ROS."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from ..bags.bag import read_bag
from ..bags.raw import full_name
from ..core.angles import yaw_from_quaternion
from ..core.errors import InvalidValueError, MppiMamlError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Data = dict[str, dict[str, np.ndarray]]  # see read_data

_STATES = ("waiting for odometry", "waiting for plan", "running", "stopping", "stopped", "goal reached")
_DECISIONS = (
    *("no attempt", "accepted", "skipped: no excitation", "skipped: too few samples", "skipped: busy"),
    *("rejected: not finite", "rejected: norm", "rejected: held-out data", "rejected by the controller"),
    *("swap unavailable", "rolled back"),
)
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
img{max-width:100%}table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;
text-align:left}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}"""


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
            raise InvalidValueError(f"there is no {part.meaning} on {wanted}; there is {there}")
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
    parts = [f"<h1>{html.escape(Path(bag).name)}</h1>", _facts(data, said)]
    for title, draw, needed in (
        ("Where it drove", _draw_path, "odom"),
        ("Tracking error", _draw_error, "controller"),
        ("Commands and what came of them", _draw_twists, "cmd_vel"),
        ("What the chosen way costs, and who says so", _draw_critics, "critics"),
        ("Adaptation: prediction error on held-out data", _draw_held_out, "adaptation"),
        ("What was learned", _draw_learned, "adaptation"),
    ):
        if needed in data:
            parts.append(f"<h2>{title}</h2>{_picture(draw, data)}")
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(Path(bag).name)}</title><style>{_STYLE}</style>{''.join(parts)}</html>"
    )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(page, encoding="utf-8")
    return Path(out)


def _picture(draw: Callable[[Figure, _Data], None], data: _Data) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, data)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"


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


def _draw_path(figure: Figure, data: _Data) -> None:
    axes = figure.subplots()
    if "controller" in data:
        c = data["controller"]
        axes.plot(c["x"], c["y"], "k--", lw=1.0, label="reference")
    source = "truth" if "truth" in data else "odom"
    axes.plot(data[source]["x"], data[source]["y"], color="#2a7f62", label="robot")
    axes.set(aspect="equal", xlabel="x [m]", ylabel="y [m]")
    axes.legend(frameon=False)


def _swaps(axes: Axes, data: _Data) -> None:
    if "adaptation" in data:
        a = data["adaptation"]
        for time in a["t"][1:][np.diff(a["swaps_accepted"].astype(int)) > 0]:
            axes.axvline(time, color="#2a7f62", lw=0.7, alpha=0.5)
        for time in a["t"][1:][np.diff(a["changes_detected"].astype(int)) > 0]:
            axes.axvline(time, color="#c44e52", lw=1.0, ls=":")


def _draw_error(figure: Figure, data: _Data) -> None:
    axes, c = figure.subplots(), data["controller"]
    axes.plot(c["t"], np.where(c["state"] == 2, c["tracking_error"], np.nan), color="#c44e52")
    _swaps(axes, data)
    axes.set(xlabel="time [s]", ylabel="tracking error [m]", ylim=(0.0, None))
    axes.set_title("green: accepted swaps, dotted: detected changes", fontsize=10)


def _draw_twists(figure: Figure, data: _Data) -> None:
    axes = figure.subplots(2, sharex=True)
    for ax, key, label in ((axes[0], "v", "v [m/s]"), (axes[1], "omega", "ω [rad/s]")):
        if "odom" in data:
            ax.plot(data["odom"]["t"], data["odom"][key], color="#2a7f62", lw=1.0, label="odometry")
        ax.plot(data["cmd_vel"]["t"], data["cmd_vel"][key], "k", lw=0.8, label="command")
        ax.set_ylabel(label)
    axes[0].legend(frameon=False, ncols=2)
    axes[1].set_xlabel("time [s]")


def _draw_critics(figure: Figure, data: _Data) -> None:
    axes, costs = figure.subplots(), data["critics"]
    for name in (name for name in costs if name != "t"):
        axes.plot(costs["t"], costs[name], ".-", ms=3, lw=0.8, label=name)
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set(xlabel="time [s]", ylabel="cost", ylim=(0.0, None))
    axes.legend(frameon=False, ncols=4)


def _draw_held_out(figure: Figure, data: _Data) -> None:
    axes, a = figure.subplots(), data["adaptation"]
    for key, colour in (("prior", "#c44e52"), ("current", "#8c8c8c"), ("candidate", "#2a7f62")):
        axes.plot(a["t"], a[f"held_out_{key}"], ".-", ms=3, lw=0.8, color=colour, label=key)
    axes.set(xlabel="time [s]", ylabel="held-out error", yscale="log")
    axes.legend(frameon=False, ncols=3)
    _swaps(axes, data)


def _draw_learned(figure: Figure, data: _Data) -> None:
    axes, a = figure.subplots(1, 3), data["adaptation"]
    for i, (key, label) in enumerate((("gain", "gain"), ("time_constant", "time constant [s]"))):
        for axis, name, colour in (("v", "v", "#2a7f62"), ("w", "ω", "#c44e52")):
            axes[i].plot(a["t"], a[f"{key}_{axis}"], color=colour, label=name)
        axes[i].set(xlabel="time [s]", title=label)
        axes[i].legend(frameon=False)
    axes[2].plot(a["t"], a["delay"], color="#2a7f62")
    axes[2].set(xlabel="time [s]", title="command delay [s]")
