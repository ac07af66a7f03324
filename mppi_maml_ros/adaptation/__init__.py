"""Online adaptation: transitions in, checked residual weights out. Knows no ROS."""
