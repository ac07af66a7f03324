"""How a node's process ends."""

import signal
import subprocess
import sys
import time

import pytest
import rclpy
from geometry_msgs.msg import Twist
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import serialize_message
from rclpy.task import Future

from mppi_maml_ros.ros.executor import CallbackGuard, _killed_after, make_executor, with_info

HANGING = """
import os, signal, threading
from mppi_maml_ros.ros.executor import _Signals, leave

called = threading.Event()

def hang():
    called.set()
    threading.Event().wait()

with _Signals() as signals:
    signals.made()
    signals.call(hang)
    os.kill(os.getpid(), signal.SIGINT)
    assert called.wait(10.0)
threading.Thread(target=threading.Event().wait).start()
print("the last word")
leave(3)
"""


def test_neither_a_call_nor_a_thread_that_hangs_keeps_a_process():
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60.0)
    assert (done.returncode, done.stdout, done.stderr) == (3, "the last word\n", "")


STUCK = """
import ctypes, os, signal
import rclpy.node
from mppi_maml_ros.ros import executor

class Node(rclpy.node.Node):
    def destroy_node(self):
        print("the last word", flush=True)
        ctypes.PyDLL(None).sleep(60)  # as a library that keeps Python's lock

def make():
    node = Node("stuck")
    node.create_timer(0.01, lambda: os.kill(os.getpid(), signal.SIGINT))
    return node

executor._HANGS_AFTER = 1.0
executor.leave(executor.run("stuck", make, []))
"""


@pytest.mark.fault(89)
def test_a_library_that_hangs_at_the_end_does_not_keep_a_process():
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60.0)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, "the last word\n"), done.stderr
    assert time.monotonic() - started < 30.0


def test_a_timer_that_was_set_before_goes_on_when_a_node_has_ended():
    handler = lambda number, frame: None  # noqa: E731
    before = signal.signal(signal.SIGALRM, handler), signal.setitimer(signal.ITIMER_REAL, 100.0)
    try:
        with _killed_after(50.0):
            assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 50.0
        assert signal.getsignal(signal.SIGALRM) is handler
        assert 50.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100.0
    finally:
        signal.signal(signal.SIGALRM, before[0])
        signal.setitimer(signal.ITIMER_REAL, *before[1])


INTERRUPTED_TWICE = """
import os, signal
from mppi_maml_ros.ros.executor import _Signals, leave, run

def make():
    os.kill(os.getpid(), signal.SIGTERM)

made = _Signals.made

def interrupted(self):
    os.kill(os.getpid(), signal.SIGINT)
    made(self)

_Signals.made = interrupted  # on the way out, after the first one
leave(run("node", make, []))
"""


def test_a_second_signal_while_a_node_is_being_made_changes_nothing():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_TWICE], capture_output=True, text=True, timeout=60.0
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("make", [make_executor, lambda context: SingleThreadedExecutor(context=context)])
def test_a_subscription_is_told_when_a_message_arrived(make):
    context, heard = rclpy.Context(), []
    rclpy.init(context=context, args=[])
    node = rclpy.create_node("listener", context=context)
    told = Future()

    def listen(data: bytes, info: dict) -> None:
        heard.append((data, info))
        told.set_result(None)

    node.create_subscription(Twist, "arrival", CallbackGuard(node)(with_info(listen)), 10, raw=True)
    publisher = node.create_publisher(Twist, "arrival", 10)
    executor = make(context)
    executor.add_node(node)
    sent = time.time_ns()
    publisher.publish(Twist())
    executor.spin_until_future_complete(told, 10.0)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)
    ((data, info),) = heard
    assert data == serialize_message(Twist()) and sent <= info["received_timestamp"] <= time.time_ns()
