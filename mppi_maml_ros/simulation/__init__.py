"""Simulated robots: worlds with exact equations, what disturbs them, and how they are commanded.

``world`` has the wheel-level world, ``seed_world`` the two worlds of the guide, ``disturbances``
what changes them while they run, ``worlds`` the named and seeded ones, ``batch`` many at once,
``commands`` command sequences to drive them with, ``faults`` what breaks around them. Nothing here
knows a learned model.
"""
