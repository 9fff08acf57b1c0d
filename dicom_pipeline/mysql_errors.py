"""What MySQL and MariaDB refuse, in our terms: what to do about it, and never a value.

Their messages quote the values that do not fit, and the driver puts values into the statements, so
only messages that are known to be harmless are repeated.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from pymysql.constants import ER
from sqlalchemy.exc import StatementError

from dicom_pipeline.errors import ConfigurationError, PermanentError, PipelineError, TransientError


class InterruptedTransactionError(TransientError):
    """Nothing is wrong with the work: the whole transaction may be tried again at once."""

    attempts: ClassVar[int] = 8


class LostConnectionError(InterruptedTransactionError):
    """The connection was cut: often a single one, sometimes with the server."""

    attempts: ClassVar[int] = 3


_Kind = type[PipelineError]

_LOST: Final = "the connection was lost; look whether the server was restarted"
_CONNECTIONS: Final = "raise max_connections, or look for who holds them"
_DISK: Final = "free some space on the server's disk"
_MEMORY: Final = "give the server more memory"
_READ_ONLY_SERVER: Final = (
    "the server takes no writes: is it a replica? Let CATALOG_URL name the primary"
)
_RIGHTS: Final = (
    "check user and password in the URL, and that the user may SELECT, INSERT, UPDATE, DELETE, "
    "CREATE, ALTER, DROP, INDEX, CREATE VIEW and SHOW VIEW in its database"
)
_TLS: Final = "check the TLS options of the URL (ssl_ca, ssl_cert, ssl_key) and the certificates"

_TOLD: Final[Mapping[int, tuple[_Kind, str]]] = {
    # The server is away (2000 and above are the driver's own codes)
    2002: (TransientError, "is the server up, and its host and port right?"),
    2003: (TransientError, "is the server up, and its host and port right?"),
    2005: (TransientError, "the host's name has no address"),
    1053: (TransientError, "the server is being stopped"),
    1077: (TransientError, "the server is being stopped"),
    1079: (TransientError, "the server is being stopped"),
    1040: (TransientError, _CONNECTIONS),
    1129: (TransientError, "the server has blocked this host: run FLUSH HOSTS there"),
    1135: (TransientError, _MEMORY),
    1203: (TransientError, _CONNECTIONS),
    1226: (TransientError, "raise the user's limits"),
    # The transaction was ended from outside
    1205: (TransientError, "another transaction holds a lock for long; look for one that hangs"),
    1317: (TransientError, "the statement was interrupted"),
    1637: (TransientError, "too many transactions at a time"),
    1969: (TransientError, "the statement took longer than the server allows"),
    3024: (TransientError, "the statement took longer than the server allows"),
    # The server lacks something
    3: (TransientError, _DISK),
    1021: (TransientError, _DISK),
    1026: (TransientError, _DISK),
    1030: (
        TransientError,
        "the storage engine failed; look at the server's log and disk",
    ),
    1114: (TransientError, _DISK),
    1180: (TransientError, "the commit failed; look at the server's log"),
    1037: (TransientError, _MEMORY),
    1038: (TransientError, _MEMORY),
    1041: (TransientError, _MEMORY),
    1290: (TransientError, _READ_ONLY_SERVER),
    1836: (TransientError, _READ_ONLY_SERVER),
    1146: (TransientError, "run `dicom-pipeline migrate`"),
    # A person must see to it
    1044: (ConfigurationError, _RIGHTS),
    1045: (ConfigurationError, _RIGHTS),
    1142: (ConfigurationError, _RIGHTS),
    1143: (ConfigurationError, _RIGHTS),
    1227: (ConfigurationError, _RIGHTS),
    1698: (ConfigurationError, _RIGHTS),
    1130: (ConfigurationError, "the server knows no user for this host: create it there"),
    1049: (
        ConfigurationError,
        "create the database first (CREATE DATABASE … CHARACTER SET utf8mb4), or correct the URL",
    ),
    1153: (ConfigurationError, "raise max_allowed_packet of the server to 16M or more"),
    1251: (ConfigurationError, "the user's authentication plugin is not known to the driver"),
    1820: (ConfigurationError, "the user's password has expired: set a new one"),
    1862: (ConfigurationError, "the user's password has expired: set a new one"),
    2026: (ConfigurationError, _TLS),
    2059: (ConfigurationError, "the user's authentication plugin is not known to the driver"),
    2061: (ConfigurationError, f"the user's password needs TLS: {_TLS}"),
    3118: (ConfigurationError, "the user's account is locked: unlock it"),
    3159: (ConfigurationError, f"the server takes connections with TLS only: {_TLS}"),
    # Ours
    1050: (PermanentError, "there is something of this name already"),
    1054: (PermanentError, "the statement names a column that is not there"),
    1792: (PermanentError, "a query may only read"),
}
"""Codes whose messages hold no values: what they mean to us, and what helps."""

_LOST_CODES: Final = frozenset(
    {0, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 3169, 4031}
)
"""The connection was cut, by the network, the server or an administrator."""
_UNLUCKY: Final[Mapping[int, str]] = {
    1020: "a row was changed by another transaction",
    1213: "deadlock with another transaction",
    3101: "another member of the group was faster",
}
"""Two transactions met, and ours was to give way."""

_UNREACHABLE: Final = frozenset({2002, 2003})
_UNFIT: Final = frozenset({1048, 1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1690, 3140, 4025})
"""A value does not fit its column."""
_COLUMN: Final = re.compile(r"column [`'](?:[^`']*[`']\.[`'])*(\w+)[`'] at row \d+$")

_SYMBOLS: Final = {
    value: name for name, value in vars(ER).items() if name.isupper() and isinstance(value, int)
}


def explained(error: BaseException, name: str, *, reading: bool, lost: bool) -> PipelineError:
    """The driver's error in our terms.

    Args:
        error: what the driver has raised.
        name: names the database.
        reading: whether the transaction may only read.
        lost: whether SQLAlchemy takes the connection for lost.
    """
    code = error.args[0] if error.args and isinstance(error.args[0], int) else -1
    message = str(error.args[1]) if len(error.args) > 1 else ""
    if code in _LOST_CODES:
        return LostConnectionError(f"{name}: {_LOST} (error {code})")
    if code in _UNLUCKY:
        return InterruptedTransactionError(f"{name}: {_UNLUCKY[code]} (error {code})")
    if code in _UNREACHABLE and "SSL" in message:
        return ConfigurationError(f"{name}: {message}: {_TLS}")
    if code in _TOLD:
        kind, remedy = _TOLD[code]
        return kind(f"{name}: {message or code}: {remedy}")
    if code in _UNFIT:
        column = _COLUMN.search(message)
        which = f" {column[1]}" if column else ""
        return PermanentError(f"{name}: a value does not fit its column{which} (error {code})")
    if lost:
        return LostConnectionError(f"{name}: {_LOST}")
    symbol = _SYMBOLS.get(code, type(error).__name__)
    refused = "the query" if reading else "a statement"
    return PermanentError(f"{name}: {refused} was refused: error {code} {symbol}")


def silence(error: StatementError) -> None:
    """Take the values out of an error that stays the context of ours."""
    for one in (error, error.orig):
        if one is not None and one.args:
            code = one.args[0] if isinstance(one.args[0], int) else type(one).__name__
            one.args = (code,)
