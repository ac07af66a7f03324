"""Models and adapters side by side in simulated worlds."""
