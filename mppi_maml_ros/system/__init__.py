"""The installed system seen from outside: processes, demo, monitor, recorder, fuzz."""
