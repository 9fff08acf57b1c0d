"""Whether somebody listens at the addresses of a URL, asked before any client library is."""

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning

CONNECT_SECONDS: Final = 3.0


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def reachable(system: str, addresses: Sequence[Address], variable: str) -> Iterator[Check]:
    """Connect to each address, all at the same time.

    One check; it fails when no address answers.
    """
    with ThreadPoolExecutor(max_workers=min(16, len(addresses))) as pool:
        errors = dict(zip(addresses, pool.map(_connect, addresses), strict=True))
    silent = {address: error for address, error in errors.items() if error}
    what = "; ".join(f"{address}: {error}" for address, error in silent.items())
    if len(silent) == len(addresses):
        remedy = f"start it, open the firewall, or correct {variable}"
        yield failure(system, "reachable", what, remedy)
    elif silent:
        remedy = "the others do; start it, or take it out of the list"
        yield warning(system, "reachable", what, remedy)
    else:
        yield ok(system, "reachable", ", ".join(map(str, addresses)))


def _connect(address: Address) -> str:
    """Why nobody answers; empty when somebody does."""
    try:
        with socket.create_connection(address, CONNECT_SECONDS):
            return ""
    except TimeoutError:
        return f"no answer within {CONNECT_SECONDS:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
