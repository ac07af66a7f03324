"""A base whose gain, lag, delay and dead band a test knows, on the clock; run as a process of its own."""

import math
import sys
import time
from collections import deque

import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

RATE, STEP = 40.0, 0.002  # [Hz, s]
GAIN, LAG, DELAY, DEAD = (0.7, 0.6), (0.25, 0.15), 0.1, (0.05, 0.2)


class MeasuredRobot(Node):
    """Obeys ``cmd_vel``, publishes ``odom``; a dead band swallows part of every command."""

    def __init__(self):
        super().__init__("measured_robot")
        self.pose, self.speeds = [2.0, -1.0, 0.7], [0.0, 0.0]
        self.coming, self.acting = deque(), (0.0, 0.0)
        self.simulated = time.time()
        self.publisher = self.create_publisher(Odometry, "odom", 10)
        self.create_subscription(Twist, "cmd_vel", self.on_command, 10)
        self.create_timer(1.0 / RATE, self.on_timer)

    def on_command(self, message):
        self.coming.append((time.time() + DELAY, (message.linear.x, message.angular.z)))

    def on_timer(self):
        now = time.time()
        while self.simulated + STEP <= now:
            self.simulated += STEP
            while self.coming and self.coming[0][0] <= self.simulated:
                self.acting = self.coming.popleft()[1]
            for i, command in enumerate(self.acting):
                target = GAIN[i] * math.copysign(max(abs(command) - DEAD[i], 0.0), command)
                self.speeds[i] += STEP * (target - self.speeds[i]) / LAG[i]
            v, omega = self.speeds
            self.pose[0] += STEP * v * math.cos(self.pose[2])
            self.pose[1] += STEP * v * math.sin(self.pose[2])
            self.pose[2] += STEP * omega
        message = Odometry()
        message.header.stamp.sec = int(self.simulated)
        message.header.stamp.nanosec = int(1e9 * (self.simulated % 1.0))
        message.header.frame_id, message.child_frame_id = "odom", "base_link"
        message.pose.pose.position.x, message.pose.pose.position.y, yaw = self.pose
        message.pose.pose.orientation.z = math.sin(0.5 * yaw)
        message.pose.pose.orientation.w = math.cos(0.5 * yaw)
        message.twist.twist.linear.x, message.twist.twist.angular.z = self.speeds
        self.publisher.publish(message)


def main():
    rclpy.init()
    try:
        rclpy.spin(MeasuredRobot())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
