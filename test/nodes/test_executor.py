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
