"""Hostile senders by the thousand: `python -m benchmarks.fuzz --help`."""
