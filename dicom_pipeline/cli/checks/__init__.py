"""Checks of this machine and of every configured system, each with what to do about a problem.

One module per system, and `doctor`, which runs them all. No check changes anything, hangs, or tells
a password: see `bounds`.
"""
