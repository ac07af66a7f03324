"""One rollout call, and the backends behind it."""
