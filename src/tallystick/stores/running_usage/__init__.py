"""Answers that run on: in front of a usage store, answers that are asked for again take in what came since."""

from tallystick.stores.running_usage.store import RunningUsage

__all__ = ["RunningUsage"]
