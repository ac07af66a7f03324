"""A drive that measures a robot, the fit of what it did, and the tuning of a controller for it."""
