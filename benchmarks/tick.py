"""Where a control period goes, and what a sample of odometry costs: thread CPU time of each part.

The controller's node in this process, with defaults but for a figure of eight, is given odometry and ticked
in real time, so that between two ticks its caches grow as cold as on a robot. Parts are indented below what
calls them; reading the clock, a microsecond a part, is included.

    python benchmarks/tick.py --json tick.json
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections import defaultdict
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import click
import numpy as np
import rclpy
from _cases import MODELS
from _machine import machine
from mppi_maml_ros.msg import ControllerStatus
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.control.step import ControlStep
from mppi_maml_ros.mppi.controller import MPPIController
from mppi_maml_ros.mppi.prediction import Predictor
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode
from mppi_maml_ros.ros import cdr
from mppi_maml_ros.ros import conversions as to
from mppi_maml_ros.safety.checks import OdometryChecks
from mppi_maml_ros.simulation.world import DynamicWorld
from mppi_maml_ros.system.demo import FIGURES, draw_world
from mppi_maml_ros.system.processes import private_domain

RATE = 20.0  # [Hz] of ticks and odometry
PARTS = {
    "a message of odometry comes": (MppiControllerNode, "_on_odometry"),
    "a tick": (MppiControllerNode, "_tick"),
    "- odometry read": (cdr, "odometry"),
    "- odometry taken": (MppiControllerNode, "_take_odometry"),
    "- - checks and transitions": (ControlLoop, "handle_odometry"),
    "- - - checks": (OdometryChecks, "check"),
    "- loop": (ControlLoop, "tick"),
    "- - step": (ControlStep, "run"),
    "- - - prediction of the state now": (Predictor, "now"),
    "- - - MPPI": (MPPIController, "compute_control"),
    "- command, made and published": (MppiControllerNode, "_publish_command"),
    "- status, made for a listener": (MppiControllerNode, "_status"),
}


def timed(times: list[float], function):
    """``function`` that notes the thread's CPU time of each call [µs]."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        started = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            times.append(1e6 * (time.thread_time() - started))

    return wrapper


def run(seconds: float, listener: bool) -> dict[str, dict[str, float]]:
    """Drive for so long [s]; median and p95 of each part [µs]."""
    times: dict[str, list[float]] = defaultdict(list)
    before = {name: getattr(*place) for name, place in PARTS.items()}
    for name, place in PARTS.items():
        setattr(*place, timed(times[name], before[name]))
    context = rclpy.Context()
    try:
        with private_domain() as domain:
            rclpy.init(context=context, domain_id=domain, args=[])
            values = {"reference": "figure8"} | FIGURES["figure8"]
            parameters = [Parameter(name, value=value) for name, value in values.items()]
            node = MppiControllerNode(context=context, parameter_overrides=parameters)
            node._slot.install(MODELS["default residual"])
            if listener:
                node.create_subscription(ControllerStatus, "~/status", lambda message: None, 10)
            drive(node, seconds)
            node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
        for name, place in PARTS.items():
            setattr(*place, before[name])
    settled = {name: values[len(values) // 4 :] for name, values in times.items() if len(values) > 10}
    return {
        name: dict(zip(("p50_us", "p95_us"), map(float, np.percentile(values, [50, 95])), strict=True))
        for name, values in settled.items()
    }


def drive(node: MppiControllerNode, seconds: float) -> None:
    """Odometry and ticks, one after the other at RATE; timers and subscriptions of the node stand still."""
    world = DynamicWorld(draw_world(0), seed=0)
    command, due = (0.0, 0.0), time.monotonic()
    for _ in track(range(int(seconds * RATE)), description="ticks"):
        world.step(command, 1.0 / RATE)
        stamp = node.get_clock().now().to_msg()
        node._on_odometry(
            serialize_message(to.odometry_message(stamp, "odom", "base_link", world.odometry()))
        )
        node._tick()
        command = (0.0, 0.0) if node._output is None else tuple(node._output.command)
        due += 1.0 / RATE
        time.sleep(max(due - time.monotonic(), 0.0))


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--seconds", default=20.0, show_default=True, help="of driving, with and without a listener")
def main(json_file: Path | None, seconds: float) -> None:
    """Take a control period apart."""
    about = machine()
    alone, heard = run(seconds, False), run(seconds, True)
    parts = {name: heard.get(name) if "listener" in name else alone.get(name) for name in PARTS}
    table = Table(title="thread CPU time [µs]")
    for column in ("part", "median", "p95"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, row in parts.items():
        if row is not None:
            table.add_row(name, f"{row['p50_us']:.0f}", f"{row['p95_us']:.0f}")
    Console().print(table)
    if json_file is not None:
        json_file.write_text(
            json.dumps({"machine": about, "seconds": seconds, "parts": parts}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
