"""How far a server's clock is from this machine's."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning

WARN_SECONDS: Final = 1.0
"""Receipts of two receivers are ordered by their clocks."""
FAIL_SECONDS: Final = 30.0
"""Certificates, retention and lags go wrong."""

_REMEDY: Final = "let NTP (chrony, systemd-timesyncd) set the clocks of both machines"


def clock_check(system: str, server_time: Callable[[], datetime]) -> Check:
    """Compare the server's time with ours.

    The server's word is taken to be from the middle of the time that the question took.
    """
    asked = time.time()
    theirs = server_time()
    answered = time.time()
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    uncertain = (answered - asked) / 2
    skew = theirs.timestamp() - (asked + uncertain)
    return verdict(system, skew, uncertain)


def verdict(system: str, skew: float, uncertain: float = 0.0) -> Check:
    """What to make of a clock that is ``skew`` seconds ahead of ours, give or take."""
    sign = "ahead of" if skew > 0 else "behind"
    size = max(0.0, abs(skew) - uncertain)
    if size < WARN_SECONDS:
        return ok(system, "clock", f"within {abs(skew) + uncertain:.3f} s of this machine's")
    found = f"{abs(skew):.1f} s {sign} this machine's"
    if size < FAIL_SECONDS:
        return warning(system, "clock", found, _REMEDY)
    return failure(system, "clock", found, _REMEDY)
