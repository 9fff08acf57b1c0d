"""Stream Load: a batch of rows over HTTP, exactly once, whatever breaks on the way.

Doris remembers the labels of its loads: one that is there already is not loaded again. So after any
failure whose outcome is unknown the same batch is sent again under the same label, and the answer
tells what became of it.
"""

import base64
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeVar

import msgspec

from dicom_pipeline.errors import ConfigurationError, PermanentError, PipelineError, TransientError
from dicom_pipeline.warehouse.doris.batches import Batch, load_headers
from dicom_pipeline.warehouse.doris.http import Answer, Endpoint, Limits, exchange
from dicom_pipeline.warehouse.doris.options import DorisOptions
from dicom_pipeline.warehouse.doris.reasons import refused_rows, without_values
from dicom_pipeline.warehouse.doris.session import tls_context

T = TypeVar("T", "LoadAnswer", "Refusal")

_REDIRECTS: Final = 3
_OF_AN_ERROR_LOG: Final = Limits(connect=5, answer=10)
"""A sensor's tick reads three, and has a minute."""
_LOST_ROUNDS: Final = 3
"""How often all frontends are asked while connections break."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0

_OK: Final = 200
_REDIRECT: Final = 307
_UNAUTHORIZED: Final = frozenset({401, 403})
_SERVER_ERROR: Final = 500

_NO_RIGHT: Final = ("access denied", "no valid basic", "unauthorized", "permission", "authenticat")
_TRANSIENT: Final = (
    "no backend",
    "no available",
    "no alive",
    "backend",
    "timeout",
    "timed out",
    "mem_limit",
    "memory",
    "too many",
    "-235",
    "-238",
    "disk",
    "rpc",
    "not master",
    "not ready",
    "cancelled",
    "canceled",
    "aborted",
    "label",
    "busy",
    "try again",
)
_NOT_MIGRATED: Final = ("unknown table", "unknown database", "does not exist", "not found")


class LoadAnswer(msgspec.Struct, rename="pascal"):
    """What a backend answers (documentation of Stream Load, "Return results")."""

    status: str = ""
    message: str = ""
    label: str = ""
    existing_job_status: str = ""
    number_total_rows: int = 0
    number_loaded_rows: int = 0
    number_filtered_rows: int = 0
    error_url: str = msgspec.field(default="", name="ErrorURL")


class Refusal(msgspec.Struct):
    """What a frontend answers instead of a redirect; older ones write ``status``."""

    msg: str = ""
    status: str = ""
    code: int = 0


@dataclass(frozen=True)
class StreamLoader:
    """Loads batches into one database.

    Args:
        options: where, and how long to wait.
        is_backend: whether the cluster itself names a host among its backends.
        sleep: waits between two attempts.
    """

    options: DorisOptions
    is_backend: Callable[[str], bool]
    sleep: Callable[[float], None] = time.sleep

    def load(self, batch: Batch) -> None:
        """Load ``batch`` unless it is loaded.

        Raises:
            TransientError: the cluster is away or busy, or has not finished with the label.
            ConfigurationError: credentials or trust are wrong.
            PermanentError: rows were refused; the message says why, without their values.
        """
        deadline = time.monotonic() + self.options.load_seconds
        lost = 0
        for attempt in count():
            try:
                waiting = self._attempt(batch)
            except ssl.SSLCertVerificationError as error:
                raise ConfigurationError(
                    f"{self.options}: {error.verify_message}: set tls_ca to the authority of the "
                    "cluster's certificates, or renew them"
                ) from None
            except OSError as error:
                lost += 1
                waiting = f"{type(error).__name__}: {error}"
                if lost >= _LOST_ROUNDS:
                    raise self._transient(batch, f"no answer: {waiting}") from None
            if waiting is None:
                return
            pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
            if time.monotonic() + pause > deadline:
                raise self._transient(batch, waiting)
            self.sleep(pause)

    def _attempt(self, batch: Batch) -> str | None:
        """One attempt, at the first frontend that answers: None, or why it is not over yet.

        Raises:
            OSError: no frontend answers, or the connection to a backend was lost.
        """
        failure: OSError | None = None
        for frontend in self.options.frontends:
            url = self._url(frontend.host, batch.table)
            try:
                return self._judge(batch, self._put(Endpoint.of(url), batch))
            except OSError as error:
                failure = error
        raise failure or OSError("no frontend is named")

    def _url(self, host: str, table: str) -> str:
        scheme = "https" if self.options.https else "http"
        shown = f"[{host}]" if ":" in host else host
        path = f"/api/{self.options.database}/{table}/_stream_load"
        return f"{scheme}://{shown}:{self.options.http_port}{path}"

    def _put(self, endpoint: Endpoint, batch: Batch) -> Answer:
        for _ in range(_REDIRECTS + 1):
            answer = exchange(
                "PUT",
                endpoint,
                self._headers(batch),
                batch.lines,
                limits=self._limits,
                tls=tls_context(self.options) if endpoint.secure else None,
            )
            if answer.status != _REDIRECT:
                return answer
            endpoint = self._next(endpoint, answer.headers.get("location", ""))
        raise ConnectionError(f"{endpoint} redirects again and again")

    @property
    def _limits(self) -> Limits:
        return Limits(self.options.connect_seconds, self.options.load_seconds)

    def _headers(self, batch: Batch) -> dict[str, str]:
        secret = f"{self.options.user}:{self.options.password}".encode()
        return {
            "Authorization": f"Basic {base64.b64encode(secret).decode()}",
            "Expect": "100-continue",
            "Content-Length": str(batch.size),
            "label": batch.label,
            "timeout": str(max(1, round(self.options.load_seconds))),
            **load_headers(batch.table),
        }

    def _next(self, asked: Endpoint, location: str) -> Endpoint:
        """Where a redirect leads, if the credentials may be sent there."""
        try:
            endpoint = Endpoint.of(location)
        except ValueError:
            raise ConnectionError(f"{asked} redirects to nowhere") from None
        if asked.secure and not endpoint.secure:
            raise ConfigurationError(
                f"{self.options}: {asked} redirects to {endpoint}, where the password would travel "
                "in the clear: switch on HTTPS at the backends (enable_https)"
            )
        if not self._trusts(endpoint.host):
            raise ConfigurationError(
                f"{self.options}: {asked} redirects to {endpoint}, which is neither a frontend of "
                "the URL nor a backend that SHOW BACKENDS names: if it is yours, add its host to "
                "the option trusted_hosts"
            )
        return endpoint

    def _trusts(self, host: str) -> bool:
        named = {frontend.host for frontend in self.options.frontends} | self.options.trusted_hosts
        return host.lower() in {name.lower() for name in named} or self.is_backend(host.lower())

    def _judge(self, batch: Batch, answer: Answer) -> str | None:
        """None when the rows are in the table; what is waited for; else the error."""
        if answer.status in _UNAUTHORIZED:
            raise self._denied(f"HTTP status {answer.status}")
        if answer.status >= _SERVER_ERROR:
            raise self._transient(batch, f"HTTP status {answer.status}")
        told = _decoded(answer, LoadAnswer)
        if told.status in {"Success", "Publish Timeout"}:
            self._check_count(batch, told)
            return None
        if told.status == "Label Already Exists":
            if told.existing_job_status == "FINISHED":
                return None
            return f"its label is there, and its load is {told.existing_job_status or 'unknown'}"
        if told.status == "Fail":
            raise self._failed(batch, told)
        refusal = _decoded(answer, Refusal)
        raise self._refused(batch, refusal.msg or told.message or f"HTTP status {answer.status}")

    def _check_count(self, batch: Batch, told: LoadAnswer) -> None:
        """Every row must be in: a load that quietly left rows out must not pass.

        ``Publish Timeout``: the rows are committed and become visible later.
        """
        if told.number_loaded_rows != len(batch.lines):
            raise PermanentError(
                f"{self.options}: load {batch.label}: {told.number_loaded_rows} of "
                f"{len(batch.lines)} rows were loaded, {told.number_filtered_rows} filtered"
            )

    def _failed(self, batch: Batch, told: LoadAnswer) -> PipelineError:
        if told.error_url or told.number_filtered_rows:
            reasons = self.error_log(told.error_url)
            return PermanentError(
                f"{self.options}: load {batch.label}: {told.number_filtered_rows} of "
                f"{told.number_total_rows or len(batch.lines)} rows were refused: {reasons}"
            )
        return self._refused(batch, told.message)

    def error_log(self, url: str) -> str:
        """The reasons behind an error URL, without the rows' values; or why they cannot be had.

        It is asked without credentials, and only a host that is trusted.
        """
        try:
            endpoint = Endpoint.of(url)
            if not self._trusts(endpoint.host):
                return f"the reasons are at {endpoint}, which is not trusted"
            tls = tls_context(self.options) if endpoint.secure else None
            answer = exchange("GET", endpoint, {}, limits=_OF_AN_ERROR_LOG, tls=tls)
        except (OSError, ValueError) as error:
            return f"the reasons could not be read ({type(error).__name__})"
        told = refused_rows(answer.content.decode("utf-8", "replace"))
        return told or "the error log is empty"

    def _refused(self, batch: Batch, message: str) -> PipelineError:
        said = message.lower()
        shown = without_values(message) or "without a reason"
        if any(known in said for known in _NO_RIGHT):
            return self._denied(shown)
        if any(known in said for known in _NOT_MIGRATED):
            return self._transient(batch, f"{shown}: run `dicom-pipeline migrate`")
        if any(known in said for known in _TRANSIENT):
            return self._transient(batch, shown)
        return PermanentError(f"{self.options}: load {batch.label} was refused: {shown}")

    def _denied(self, said: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.options}: user {self.options.user} may not load: {said}: check user, password "
            "and LOAD_PRIV"
        )

    def _transient(self, batch: Batch, said: str) -> TransientError:
        return TransientError(f"{self.options}: load {batch.label}: {said}")


def _decoded(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return kind()
