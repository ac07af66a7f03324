"""``mppi-maml report``: a recorded run as one HTML page with figures; needs no ROS."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.angles import yaw_from_quaternion
from ..core.errors import MppiMamlError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Data = dict[str, dict[str, np.ndarray]]  # see read_bag

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


def read_bag(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """What the report needs of a bag, by the last part of the topics.

    Returns:
        ``odom``, ``cmd_vel``, ``controller``, ``adaptation`` and ``truth``, each a record of arrays with
        ``t`` [s since the first message]; missing ones are absent.

    Raises:
        MppiMamlError: rosbags is not installed, or it is not a bag, or one without any of these.
    """
    try:
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MppiMamlError("reading bags needs rosbags: pip install rosbags") from error
    rows: dict[str, list[dict]] = {}
    try:
        with AnyReader([Path(path)], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            for connection, stamp, data in reader.messages():
                read = _READERS.get(connection.msgtype)
                if read is not None:
                    name, row = read(reader.deserialize(data, connection.msgtype))
                    rows.setdefault(name, []).append(row | {"t": 1e-9 * stamp})
    except (AnyReaderError, OSError, KeyError) as error:
        raise MppiMamlError(f"{path} cannot be read as a bag: {error}") from error
    if not rows:
        raise MppiMamlError(f"{path} holds no odometry, commands or status")
    begin = min(row[0]["t"] for row in rows.values())
    found = {}
    for name, records in rows.items():
        found[name] = {key: np.array([record[key] for record in records]) for key in records[0]}
        found[name]["t"] = found[name]["t"] - begin
    return found


def _pose(pose: Any) -> dict[str, Any]:
    q = pose.orientation
    return {"x": pose.position.x, "y": pose.position.y, "yaw": yaw_from_quaternion(q.x, q.y, q.z, q.w)}


def _twist(twist: Any) -> dict[str, Any]:
    return {"v": twist.linear.x, "omega": twist.angular.z}


def _controller(m: Any) -> tuple[str, dict[str, Any]]:
    fields = ("state", "tracking_error", "heading_error", "step_ms", "period_ms", "weights_version")
    reference = _pose(m.reference) if m.state == 2 else {"x": np.nan, "y": np.nan, "yaw": np.nan}
    return "controller", {field: getattr(m, field) for field in fields} | reference


def _adaptation(m: Any) -> tuple[str, dict[str, Any]]:
    fields = (
        *("decision", "samples", "held_out_prior", "held_out_current", "held_out_candidate", "adapt_ms"),
        *("weights_version", "swaps_accepted", "swaps_rejected", "changes_detected", "delay"),
    )
    axes = {f"gain_{a}": m.gain[i] for i, a in enumerate("vw")}
    axes |= {f"time_constant_{a}": m.time_constant[i] for i, a in enumerate("vw")}
    return "adaptation", {field: getattr(m, field) for field in fields} | axes


_READERS = {
    "nav_msgs/msg/Odometry": lambda m: ("odom", _pose(m.pose.pose) | _twist(m.twist.twist)),
    "geometry_msgs/msg/Twist": lambda m: ("cmd_vel", _twist(m)),
    "geometry_msgs/msg/TwistStamped": lambda m: ("cmd_vel", _twist(m.twist)),
    "mppi_maml_ros/msg/WorldState": lambda m: ("truth", _pose(m.pose) | _twist(m.twist)),
    "mppi_maml_ros/msg/ControllerStatus": _controller,
    "mppi_maml_ros/msg/AdaptationStatus": _adaptation,
}


def write_report(bag: Path, out: Path) -> Path:
    """Read ``bag`` and write the page ``out``; returns it.

    Raises:
        MppiMamlError: see :func:`read_bag`.
    """
    data = read_bag(bag)
    parts = [f"<h1>{html.escape(Path(bag).name)}</h1>", _facts(data)]
    for title, draw, needed in (
        ("Where it drove", _draw_path, "odom"),
        ("Tracking error", _draw_error, "controller"),
        ("Commands and what came of them", _draw_twists, "cmd_vel"),
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


def _facts(data: _Data) -> str:
    rows = [("duration", f"{max(part['t'][-1] for part in data.values()):.1f} s")]
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
        rows.append(("states", ", ".join(_STATES[s] for s in dict.fromkeys(c["state"].tolist()))))
    if "adaptation" in data:
        a = data["adaptation"]
        rows.append(("swaps accepted, rejected", f"{a['swaps_accepted'][-1]}, {a['swaps_rejected'][-1]}"))
        rows.append(("changes detected", str(a["changes_detected"][-1])))
        decisions = [_DECISIONS[d] for d in dict.fromkeys(a["decision"].tolist())]
        rows.append(("decisions", "; ".join(decisions)))
    cells = "".join(f"<tr><th>{html.escape(k)}<td>{html.escape(v)}" for k, v in rows)
    return f"<table>{cells}</table>"


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
