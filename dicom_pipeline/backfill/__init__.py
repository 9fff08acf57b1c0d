"""Backfill: failed conversions are sent through ``transcode_queue`` again, with the next attempt.

There is one code path that converts: a backfill only publishes events. `selection` says which
failures are meant, `candidates` finds them in the warehouse and says what keeps each from being
sent, `sending` publishes and writes down what it has published, `following` tells what became of
it.
"""
