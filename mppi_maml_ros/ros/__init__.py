"""What the nodes share of ROS: parameters, conversions, QoS, diagnostics and a main loop.

With ``nodes`` the only package that imports rclpy or messages. Nothing here decides anything: the
work is done by the packages that know no ROS.
"""
