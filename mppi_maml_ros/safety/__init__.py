"""Checks on what comes in, a watchdog, and limits on what goes out; pure, with injected time."""
