"""Which failed conversions a backfill is about."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Self

import msgspec

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.imaging.outcomes import RETRYABLE, ErrorCode
from dicom_pipeline.messages import ATTEMPTS

MAX_ATTEMPTS: Final = 5
"""Further attempts at a receipt, unless a backfill says otherwise."""
ATTEMPTS_LIMIT: Final = ATTEMPTS - 1
"""The greatest attempt that an event can carry."""
LIMIT: Final = 10_000
"""Objects that one backfill sends, unless it says otherwise."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Filters that a failure must pass; an empty one lets everything pass. See `checked`."""

    codes: tuple[str, ...] = ()
    """Values of `imaging.outcomes.ErrorCode`."""
    transfer_syntaxes: tuple[str, ...] = ()
    """Transfer syntax UIDs of the stored files."""
    studies: tuple[str, ...] = ()
    """Study instance UIDs."""
    tenants: tuple[str, ...] = ()
    since: int | None = None
    """Received at or after this time: µs since the epoch."""
    until: int | None = None
    """Received before this time: µs since the epoch."""
    max_attempts: int = MAX_ATTEMPTS
    """No receipt gets an attempt beyond this one; the attempt as received is number 0."""
    backoff_seconds: float = 0
    """Pause between the receipt and attempt 1; doubles with each further attempt."""
    again: bool = False
    """Also what an earlier backfill has sent and nobody has decided since."""
    limit: int = LIMIT
    """No more objects than this, the oldest receipts first."""

    def checked(self) -> Self:
        """This selection.

        Raises:
            ConfigurationError: an error code is unknown, or a number or the time span is senseless.
        """
        unknown = sorted(set(self.codes) - set(ErrorCode))
        if unknown:
            raise ConfigurationError(
                f"there is no error code {unknown[0]!r}; choose from {', '.join(sorted(ErrorCode))}"
            )
        if not 1 <= self.max_attempts <= ATTEMPTS_LIMIT:
            raise ConfigurationError(
                f"maximum attempts {self.max_attempts}: it must be 1 to {ATTEMPTS_LIMIT}"
            )
        if self.limit < 1:
            raise ConfigurationError(f"limit {self.limit}: it must be at least 1")
        if self.backoff_seconds < 0:
            raise ConfigurationError(f"back-off {self.backoff_seconds}: it cannot be negative")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigurationError("the time span is empty: 'since' must be before 'until'")
        return self


AUTOMATIC: Final = Selection(codes=tuple(sorted(RETRYABLE)), backoff_seconds=900, limit=100)
"""What is sent again without anybody's asking: failures that a busy machine may be to blame for.
Few at a time, as each may take the time limit once more while new objects wait."""


def distinct(values: Iterable[str]) -> tuple[str, ...]:
    """The values without blanks and repetitions, as a `Selection` has them."""
    return tuple(sorted({value.strip() for value in values} - {""}))


def moment(name: str, text: str) -> int | None:
    """A time as a person writes it, in µs since the epoch; None for no text.

    Args:
        name: how the person calls it, for the error.
        text: ISO 8601, e.g. ``2026-01-31`` or ``2026-01-31T12:00:00+08:00``; UTC without a zone.

    Raises:
        ConfigurationError: it is no time.
    """
    if not text.strip():
        return None
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"{name} {text!r} is no time: write 2026-01-31 or 2026-01-31T12:00:00"
        ) from error
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1_000_000)
