"""How a node's process ends."""

import subprocess
import sys

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
