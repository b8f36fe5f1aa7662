"""Meadowlark: a realtime JSON database that anyone can run."""

__version__ = "0.1.0"
