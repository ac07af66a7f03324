"""Studies, each a command of its own."""
