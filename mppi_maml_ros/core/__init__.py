"""Types, errors, angles, SE(2) and clocks: what every other package builds on."""
