"""The states and codes of ``msg/ControllerStatus``, for code that knows no ROS."""

import enum


class State(enum.IntEnum):
    """What the robot is being told."""

    WAITING_FOR_ODOMETRY = 0
    WAITING_FOR_PLAN = 1
    RUNNING = 2
    STOPPING = 3
    STOPPED = 4
    GOAL_REACHED = 5


class Code(enum.IntEnum):
    """Why the robot is being told so."""

    NONE = 0
    ODOMETRY_TIMEOUT = 1
    ODOMETRY_INVALID = 2
    ODOMETRY_STALE = 3
    ODOMETRY_FUTURE = 4
    ODOMETRY_TELEPORT = 5
    ODOMETRY_FRAME = 6
    MULTIPLE_ODOMETRY_PUBLISHERS = 7
    CLOCK_JUMP = 8
    CLOCK_PAUSED = 9
    INVALID_PATH = 10
    FAR_FROM_PATH = 11
    FAILED_TO_MAKE_PROGRESS = 12
    NO_VALID_CONTROL = 13
    CONTROL_EXCEPTION = 14
    CONTROL_OVERRUN = 15
    SHUTDOWN = 16
    ODOMETRY_HANGING = 17
    ODOMETRY_TWIST = 18
    ROBOT_BLOCKED = 19
    EMERGENCY_STOP = 20
    REFERENCE_SLOWED = 21
