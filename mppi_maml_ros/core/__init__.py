"""Types, errors, angles, SE(2), clocks and the artifact file: what every other package builds on."""
