"""Real-time priority of a process, where the system permits it."""

from __future__ import annotations

import contextlib
import os

HOW = "allow it with rtprio in /etc/security/limits.conf, or set thread_priority to 0"


def prioritise(priority: int) -> str:
    """Run every thread of this process, and those to come, under SCHED_FIFO.

    They then run before anything that has no such priority; a kernel lets them have 95 % of a core at most.

    Args:
        priority: 1 to 99; 0 leaves the process as it is.

    Returns:
        Why it could not be done; empty when it was.
    """
    if priority == 0:
        return ""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    try:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f"SCHED_FIFO {priority} is refused ({error.strerror}): {HOW}"
    return ""
