"""The keys of the cache, as ``docs/cache.md`` tells them.

Parts stand between colons, each quoted as in a URL, so that no two things share a key.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

SCHEME: Final = "1"
"""Changes when keys or values mean something else."""
ALL_TENANTS: Final = "*"
"""Stands for the tenant of a question that is asked over all of them."""

_LONGEST_PART: Final = 128
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{0,128}")
_PRIVATE: Final = frozenset({"patient_id"})


class Keys:
    """The keys of one database."""

    def __init__(self, prefix: str, database: str) -> None:
        self._start = f"{prefix}:{SCHEME}:{database}"

    def row(self, table: str, names: Sequence[str], values: Sequence[str]) -> str:
        """Of the row of a table: the first of the key's columns is the tenant."""
        tenant, *rest = (
            _hashed(value) if name in _PRIVATE else _part(value)
            for name, value in zip(names, values, strict=True)
        )
        return ":".join((self._start, tenant, "row", table, *rest))

    def study_token(self, tenant: str, study_uid: str) -> str:
        """Of the token that changes whenever something is written of a study."""
        return f"{self._start}:{_tenant(tenant)}:study:{_part(study_uid)}:token"

    def study_answer(self, tenant: str, study_uid: str, question: str) -> str:
        """Of the answer to a question about a study."""
        return (
            f"{self._start}:{_tenant(tenant)}:study:{_part(study_uid)}:answer:{_hashed(question)}"
        )


def fingerprint(*texts: str) -> str:
    """Sixteen hexadecimal digits for the texts."""
    digest = blake2b(digest_size=8)
    for text in texts:
        digest.update(blake2b(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def _part(text: str) -> str:
    if _PLAIN.fullmatch(text):  # as nearly every UID and tenant is: much quicker
        return text
    quoted = quote(text, safe="", errors="surrogatepass")
    return quoted if len(quoted) <= _LONGEST_PART else _hashed(text)


def _hashed(text: str) -> str:
    """``#`` is quoted everywhere else."""
    return f"#{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def _tenant(tenant: str) -> str:
    return tenant if tenant == ALL_TENANTS else _part(tenant)
