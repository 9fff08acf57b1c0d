"""Answers of the catalog about a study, kept until something is written of it.

A *token* stands for a study as it is now. Whoever asks takes the token first, then asks the
catalog, and keeps the answer together with the token; an answer whose token is not the study's any
more is none. Whoever writes takes the token away after the commit, so that an answer that was read
before the commit, and kept after it, is never given. A writer whom the cache does not hear leaves
answers that are at most as old as they are kept.
"""

import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.databases import Database
from dicom_pipeline.cache.keys import ALL_TENANTS, fingerprint
from dicom_pipeline.catalog import Study

Rows = list[dict[str, object]]

_TOKEN_LIVES: Final = 10
"""How much longer a token is kept than an answer: without it every answer is lost."""
_TOKEN_BYTES: Final = 16

_PLAIN: Final = (str, int, float, type(None))
"""What comes back from the cache as it was."""


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    token: bytes
    rows: list[dict[str, str | int | float | None]]


_decoder = msgspec.msgpack.Decoder(_Answer)


class StudyReads:
    """Questions about studies to one catalog, of which the cache answers what it can.

    Answers are kept only where writers, which are other processes, can take them away.
    """

    def __init__(self, cache: Cache, database: Database, query: Callable[..., Rows]) -> None:
        self._cache = cache
        self._database = database
        self._query = query
        self._seconds = cache.options.read_ttl if cache.shared else 0

    def ask(
        self, study_uid: str, sql: str, *, tenant: str = ALL_TENANTS, **parameters: object
    ) -> Rows:
        """The rows of a SELECT with ``:name`` parameters that speaks of one study only.

        Args:
            study_uid: the study.
            sql: the question.
            tenant: whose study; all tenants when the question does not name one.
            parameters: of the question.
        """
        keys = self._database.keys() if self._seconds else None
        if keys is None:
            return self._query(sql, **parameters)
        question = fingerprint(sql, *(f"{k}={v!r}" for k, v in sorted(parameters.items())))
        token_key = keys.study_token(tenant, study_uid)
        answer_key = keys.study_answer(tenant, study_uid, question)
        token, kept = self._cache.get([token_key, answer_key])
        if token and kept and (rows := _answered(kept, token)) is not None:
            return rows
        token = token or self._new_token(token_key)
        rows = self._query(sql, **parameters)
        if token and _is_plain(rows):
            answer = msgspec.msgpack.encode(_Answer(token, rows))  # type: ignore[arg-type]
            self._cache.put({answer_key: answer}, self._seconds)
        return rows

    def changed(self, studies: Iterable[Study]) -> None:
        """Something was committed of these studies: call it after the commit."""
        keys = self._database.keys() if self._seconds else None
        if keys is not None:
            self._cache.drop(
                [
                    keys.study_token(tenant, study.study_uid)
                    for study in sorted(studies)
                    for tenant in (study.tenant_id, ALL_TENANTS)
                ]
            )

    def _new_token(self, key: str) -> bytes | None:
        """A token that the cache has taken, or none."""
        token = secrets.token_bytes(_TOKEN_BYTES)
        return token if self._cache.put({key: token}, _TOKEN_LIVES * self._seconds) else None


def _answered(kept: bytes, token: bytes) -> Rows | None:
    try:
        answer: Any = _decoder.decode(kept)
    except msgspec.MsgspecError:
        return None
    rows: Rows = answer.rows
    return rows if answer.token == token else None


def _is_plain(rows: Rows) -> bool:
    return all(isinstance(value, _PLAIN) for row in rows for value in row.values())
