"""References to track: poses as functions of time."""
