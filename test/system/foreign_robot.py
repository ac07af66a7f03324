"""A robot that this package knows nothing of: first-order lags, odometry at an odd rate.

Run as a process of its own. Uses rclpy and common messages only.
"""

import math
import sys

import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

RATE = 33.0  # [Hz]
STEPS = 10  # Euler steps a message
LAG_V, LAG_OMEGA, GAIN = 0.4, 0.25, 0.75


class ForeignRobot(Node):
    """Obeys ``cmd_vel``, publishes ``odom``."""

    def __init__(self):
        super().__init__("foreign_robot")
        self.x, self.y, self.yaw, self.v, self.omega = 3.0, -2.0, 1.0, 0.0, 0.0
        self.command = (0.0, 0.0)
        self.publisher = self.create_publisher(Odometry, "odom", 10)
        self.create_subscription(Twist, "cmd_vel", self.on_command, 10)
        self.create_timer(1.0 / RATE, self.on_timer)

    def on_command(self, message):
        self.command = (message.linear.x, message.angular.z)

    def on_timer(self):
        dt = 1.0 / RATE / STEPS
        for _ in range(STEPS):
            self.v += dt * (GAIN * self.command[0] - self.v) / LAG_V
            self.omega += dt * (GAIN * self.command[1] - self.omega) / LAG_OMEGA
            self.x += dt * self.v * math.cos(self.yaw)
            self.y += dt * self.v * math.sin(self.yaw)
            self.yaw += dt * self.omega
        message = Odometry()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id, message.child_frame_id = "odom", "base_link"
        message.pose.pose.position.x, message.pose.pose.position.y = self.x, self.y
        message.pose.pose.orientation.z = math.sin(0.5 * self.yaw)
        message.pose.pose.orientation.w = math.cos(0.5 * self.yaw)
        message.twist.twist.linear.x, message.twist.twist.angular.z = self.v, self.omega
        self.publisher.publish(message)


def main():
    rclpy.init()
    try:
        rclpy.spin(ForeignRobot())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
