"""Checks that cannot hang, and that give no secret away, whatever the client libraries do."""

import re
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final
from urllib.parse import quote, unquote

from dicom_pipeline.cli.checks.check import Check, failure
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.settings import Settings

SYSTEM_SECONDS: Final = 20.0
"""No system may take longer to be checked."""

Checks = Callable[[Settings], Iterator[Check]]

_URLS: Final = ("event_log_url", "catalog_url", "warehouse_url", "cache_url")
_USER: Final = re.compile(r"//[^/@]*:([^/]*)@")
_SECRET_OPTION: Final = re.compile(
    r"[?&][^=&]*(?:password|secret|token)[^=&]*=([^&]+)", re.IGNORECASE
)
_SHORTEST: Final = 3
"""Shorter ones would take every message apart; no adapter names a password by itself."""
_HIDDEN: Final = "***"


def bounded(
    system: str, checks: Checks, settings: Settings, seconds: float = SYSTEM_SECONDS
) -> Iterator[Check]:
    """The checks of one system, as far as they come within ``seconds``.

    They are made in a thread that is left behind when it hangs. An error is a failed check; that of
    a client library is named by its type only, as its text may hold anything.
    """
    done: SimpleQueue[Check | None] = SimpleQueue()

    def work() -> None:
        try:
            for one in checks(settings):
                done.put(one)
        except PipelineError as error:
            done.put(failure(system, "usable", str(error), "see the message"))
        except Exception as error:  # noqa: BLE001 - whatever a client library raises is a finding
            kind = f"{type(error).__module__}.{type(error).__name__}"
            remedy = "look at the server's log; LOG_LEVEL=DEBUG of `status` shows the traceback"
            done.put(failure(system, "usable", f"unexpected error {kind}", remedy))
        done.put(None)

    Thread(target=work, name=f"doctor {system}", daemon=True).start()
    deadline = time.monotonic() + seconds
    while True:
        try:
            one = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            remedy = "is it frozen or overloaded? Look at its log and its machine"
            yield failure(system, "answers", f"no answer within {seconds:.0f} s", remedy)
            return
        if one is None:
            return
        yield _without_secrets(one, _secrets(settings))


def _secrets(settings: Settings) -> list[str]:
    """The passwords in the settings' URLs, as they are written there and as they are meant."""
    written = []
    for name in _URLS:
        url: str = getattr(settings, name)
        written += _USER.findall(url) + _SECRET_OPTION.findall(url)
    forms = {form for one in written for form in (one, unquote(one), quote(unquote(one), safe=""))}
    return sorted((one for one in forms if len(one) >= _SHORTEST), key=len, reverse=True)


def _without_secrets(check: Check, secrets: list[str]) -> Check:
    for secret in secrets:
        check.found = check.found.replace(secret, _HIDDEN)
        check.remedy = check.remedy.replace(secret, _HIDDEN)
    return check
