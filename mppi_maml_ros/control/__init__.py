"""Everything between an odometry message and a command; no ROS, time is injected."""
