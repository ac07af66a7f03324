"""What is wrong with a machine, an environment or a robot's topics, and what to type; knows no ROS."""
