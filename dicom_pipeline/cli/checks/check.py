"""One check and its verdict."""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """Works, and should not stay as it is."""
    FAIL = "fail"


class Check(msgspec.Struct):
    """One check."""

    system: str
    """What was looked at, e.g. ``catalog``."""
    name: str
    """Which of its sides, e.g. ``rights``."""
    verdict: Verdict
    found: str
    remedy: str = ""
    """What to do about it; also advice where nothing is wrong."""


def ok(system: str, name: str, found: str, remedy: str = "") -> Check:
    """All is as it should be."""
    return Check(system, name, Verdict.OK, found, remedy)


def warning(system: str, name: str, found: str, remedy: str) -> Check:
    """It works, and should not stay as it is."""
    return Check(system, name, Verdict.WARN, found, remedy)


def failure(system: str, name: str, found: str, remedy: str) -> Check:
    """It does not work, or will not."""
    return Check(system, name, Verdict.FAIL, found, remedy)
