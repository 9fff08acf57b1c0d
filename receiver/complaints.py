"""Log lines of one kind once a second at the most: whoever floods us shall not fill disks."""

import logging
import threading
import time
from typing import Final

logger = logging.getLogger(__name__)

_SECONDS: Final = 1.0


class Complaints:
    """Warnings, and how many of each kind were left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, tuple[float, int]] = {}
        """When one of a kind was written last, and how many were left out since."""

    def tell(
        self, kind: str, message: str, *args: object, extra: dict[str, str] | None = None
    ) -> None:
        """Log a warning, unless one of its kind was logged just now."""
        now = time.monotonic()
        with self._lock:
            last, omitted = self._told.get(kind, (-_SECONDS, 0))
            if now - last < _SECONDS:
                self._told[kind] = last, omitted + 1
                return
            self._told[kind] = now, 0
        more = {"omitted_before": omitted} if omitted else {}
        logger.warning(message, *args, extra={**(extra or {}), **more})
