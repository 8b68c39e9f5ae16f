"""Tallystick: usage comes in, bills go out, and every line can be explained and replayed."""

__version__ = "0.1.0"
