"""Runs of the whole system and their reports: processes, recordings, measures, plots.

Nothing here imports ROS or messages; what listens to topics lives in ``ros``.
"""
