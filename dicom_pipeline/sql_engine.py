"""One SQL database behind SQLAlchemy: transactions, migrations, and errors in our own terms."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from typing import Final, Protocol, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError, StatementError

from dicom_pipeline.errors import ConfigurationError, PermanentError, PipelineError
from dicom_pipeline.migrations import Migration, load_migrations
from dicom_pipeline.mysql_engine import MysqlEngine
from dicom_pipeline.mysql_errors import InterruptedTransactionError, silence
from dicom_pipeline.sqlite_engine import READ_ONLY, SqliteEngine

T = TypeVar("T")

_GIVE_UP_SECONDS: Final = 20
"""No further attempt is begun later than this: the caller has a back-off of its own."""
_LONGEST_PAUSE_SECONDS: Final = 0.5


class Backend(Protocol):
    """What differs between the databases."""

    engine: Engine

    def explained(self, error: BaseException, *, reading: bool, lost: bool) -> PipelineError:
        """The driver's error in our terms."""

    def migrate(self, migrations: list[Migration]) -> list[str]:
        """Apply those that are missing and return their names."""


_BACKENDS: Final[Mapping[str, Callable[[URL, str], Backend]]] = {
    "sqlite": SqliteEngine,
    "mysql": MysqlEngine,
}


class SqlDatabase:
    """A database by its URL; ``purpose`` (``catalog``, ``warehouse``) names it in errors.

    Errors never carry SQL parameters: they hold patient data.
    """

    def __init__(self, url: str, purpose: str) -> None:
        parsed = _parsed(url, purpose)
        self._name = f"{purpose} {parsed.render_as_string()}"
        self._purpose = purpose
        self._backend = _BACKENDS[parsed.get_backend_name()](parsed, self._name)
        self._engine = self._backend.engine
        self._reader = self._engine.execution_options(**{READ_ONLY: True})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; SQLite's holds the write lock from its start.

        Raises:
            TransientError: the database is locked, away or not migrated, or its disk is full.
            PermanentError: the database refused what it was told.
            ConfigurationError: it does not know the user or has no such database.
        """
        with self._in_our_terms(reading=False), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that sees one state of the database and is refused every write."""
        with self._in_our_terms(reading=True), self._reader.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction that may write, again when others interrupt it.

        A deadlock or a lost connection ends a transaction through no fault of its own. Whether a
        commit whose connection was lost has happened cannot be known, so ``work`` must come to the
        same when it is done twice.
        """

        def attempt() -> T:
            with self.write() as connection:
                return work(connection)

        return _uninterrupted(attempt)

    def inspect(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction that only reads, again when its connection is lost."""

        def attempt() -> T:
            with self.read() as connection:
                return work(connection)

        return _uninterrupted(attempt)

    def query(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        """Rows of a SELECT with ``:name`` parameters; a statement that writes is refused.

        Values are text, integers, floats or None, whatever the database.
        """

        def work(connection: Connection) -> list[dict[str, object]]:
            result = connection.execute(text(sql), dict(parameters))
            return [
                {name: _plain(value) for name, value in row.items()} for row in result.mappings()
            ]

        return self.inspect(work)

    def migrate(self) -> list[str]:
        """Apply the missing migrations of this purpose and return their names.

        Two processes may call this at once. A migration that fails leaves nothing behind, or is
        gone on with by the next call where the database commits every statement by itself.

        Raises:
            ConfigurationError: see `migrations.pending`.
        """
        migrations = load_migrations(self._engine.dialect.name, self._purpose)
        with self._in_our_terms(reading=False):
            return self._backend.migrate(migrations)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _in_our_terms(self, *, reading: bool) -> Iterator[None]:
        try:
            yield
        except StatementError as error:
            told = self._told(error, reading=reading)
            silence(error)
            raise told from None
        except SQLAlchemyError as error:
            raise PermanentError(f"{self._name}: {type(error).__name__}: {error}") from None
        except (OverflowError, UnicodeEncodeError) as error:
            # Raised by the driver while it binds a value; UnicodeEncodeError quotes the text.
            told = PermanentError(
                f"{self._name}: a value does not fit its column ({type(error).__name__})"
            )
            error.args = ()
            raise told from None

    def _told(self, error: StatementError, *, reading: bool) -> PipelineError:
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        return self._backend.explained(error.orig or error, reading=reading, lost=lost)


class SqlStore:
    """What every port over one SQL database has in common."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        return self._database.query(sql, parameters)

    def migrate(self) -> list[str]:
        return self._database.migrate()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parsed(url: str, purpose: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):  # the message may hold the password
        backend = ""
    if backend not in _BACKENDS:
        raise ConfigurationError(
            f"{purpose}: its URL names none of the databases {', '.join(_BACKENDS)}: write "
            "mysql+pymysql://user:password@host:3306/database (characters such as @ and / in the "
            "password as %40 and %2F)"
        )
    return parsed


def _uninterrupted(attempt: Callable[[], T]) -> T:
    started = time.monotonic()
    for number in count(1):
        try:
            return attempt()
        except InterruptedTransactionError as error:
            late = time.monotonic() - started > _GIVE_UP_SECONDS
            if late or number >= error.attempts:
                raise
        # Unequal pauses, so that two who have met do not meet again.
        longest = min(_LONGEST_PAUSE_SECONDS, 0.01 * 2**number)
        time.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
    raise AssertionError("counting has no end")


def _plain(value: object) -> object:
    """What SQLite would have given: MySQL sums are decimals, and bytes are our own UTF-8."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
