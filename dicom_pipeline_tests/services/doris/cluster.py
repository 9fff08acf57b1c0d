"""The whole double: frontends, backends, what they share, and how to switch them off."""

import json
import re
import ssl
import time
import uuid
from collections.abc import Iterable
from itertools import count
from typing import Self
from urllib.parse import quote, urlencode

from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.faults import LOST_QUERY, REFUSED_QUERY, SLOW_QUERY, Faults
from dicom_pipeline_tests.services.doris.http import BackendHandler, FrontendHandler
from dicom_pipeline_tests.services.doris.labels import Labels
from dicom_pipeline_tests.services.doris.loading import Loader
from dicom_pipeline_tests.services.doris.routine_jobs import Definition
from dicom_pipeline_tests.services.doris.routine_load import FORMS as ROUTINE_LOAD_FORMS
from dicom_pipeline_tests.services.doris.routine_load import mapping_of
from dicom_pipeline_tests.services.doris.routine_loads import RoutineLoads
from dicom_pipeline_tests.services.doris.servers import HttpServer, TcpServer
from dicom_pipeline_tests.services.doris.statements import FORMS, Session
from dicom_pipeline_tests.services.doris.store import Catalog
from dicom_pipeline_tests.services.doris.wire import MySqlHandler

USER = "pipeline"
PASSWORD = "s3cret/@word"  # quoted in URLs, and easy to find where it must not be
_LABEL = re.compile(r"[-_A-Za-z0-9:]{1,128}")


class Frontend:
    """Plans and redirects."""

    def __init__(self, cluster: "DorisDouble", host: str, mysql_port: int, http_port: int) -> None:
        self.cluster, self.host = cluster, host
        self.mysql_port, self.http_port = mysql_port, http_port
        self._servers: list[TcpServer | HttpServer] = []
        self.start()

    @property
    def alive(self) -> bool:
        return bool(self._servers)

    def start(self) -> None:
        mysql = TcpServer((self.host, self.mysql_port), MySqlHandler)
        mysql.frontend = self
        http = HttpServer((self.host, self.http_port), FrontendHandler)
        http.node = self
        self.cluster.secure(http)
        self.mysql_port, self.http_port = mysql.server_address[1], http.server_address[1]
        self._servers = [mysql, http]
        for server in self._servers:
            server.start()

    def stop(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            server.stop()

    def session(self, user: str, database: str | None) -> Session:
        return Session(self.cluster, user, database)


class Backend:
    """Loads."""

    def __init__(self, cluster: "DorisDouble", host: str) -> None:
        self.cluster, self.host, self.port = cluster, host, 0
        self._server: HttpServer | None = None
        self.start()

    @property
    def alive(self) -> bool:
        return self._server is not None

    @property
    def shown(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        server = HttpServer((self.host, self.port), BackendHandler)
        server.node = self
        self.cluster.secure(server)
        self.port = server.server_address[1]
        self._server = server
        server.start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()


class DorisDouble:
    """A cluster on addresses of this machine's loopback.

    Args:
        frontends: how many; their addresses differ and their ports do not, as in a real cluster.
        backends: how many.
        tls: what HTTP is served with; None: no TLS.
    """

    def __init__(
        self, frontends: int = 1, backends: int = 1, tls: ssl.SSLContext | None = None
    ) -> None:
        self.users = {USER: PASSWORD}
        self.catalog = Catalog()
        self.faults = Faults()
        self.forms = [*ROUTINE_LOAD_FORMS, *FORMS]
        self.routine_loads = RoutineLoads(self, self._loader)
        self.error_logs: dict[str, str] = {}
        self.statements: list[str] = []
        """Every statement that was heard."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        """The headers of every request to load, with the host that was asked."""
        self.loads: list[tuple[str, int]] = []
        """Label and rows of every load that was done."""
        self._tls = tls
        self._labels: dict[str, Labels] = {}
        self._numbers = count(1)
        self._turn = 0
        self.backends = [Backend(self, f"127.0.1.{n + 1}") for n in range(backends)]
        self.frontends: list[Frontend] = []
        for number in range(frontends):
            first = self.frontends[0] if self.frontends else None
            ports = (first.mysql_port, first.http_port) if first else (0, 0)
            self.frontends.append(Frontend(self, f"127.0.0.{number + 1}", *ports))

    @property
    def scheme(self) -> str:
        return "https" if self._tls else "http"

    def secure(self, server: HttpServer) -> None:
        if self._tls is not None:
            server.socket = self._tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )

    def new_database(self) -> str:
        """A name that no other test has."""
        return f"test_{next(self._numbers)}_{uuid.uuid4().hex[:8]}"

    def url(self, database: str, **options: object) -> str:
        """What `WAREHOUSE_URL` would say."""
        hosts = ",".join(f"{one.host}:{one.mysql_port}" for one in self.frontends)
        given = {"http_port": self.frontends[0].http_port, "replicas": 1, "buckets": 1, **options}
        return f"doris://{USER}:{quote(PASSWORD, safe='')}@{hosts}/{database}?{urlencode(given)}"

    def labels(self, database: str) -> Labels:
        return self._labels.setdefault(database, Labels())

    def is_label(self, text: str) -> bool:
        return _LABEL.fullmatch(text) is not None

    def next_backend(self) -> Backend | None:
        alive = [backend for backend in self.backends if backend.alive]
        self._turn += 1
        return alive[self._turn % len(alive)] if alive else None

    def write_error_log(self, backend: Backend, lines: Iterable[str]) -> str:
        """Keep lines under an address that a client can read."""
        name = f"__shard_0/error_log_insert_stmt_{uuid.uuid4().hex}"
        self.error_logs[name] = "\n".join(lines)
        return f"{self.scheme}://{backend.shown}/api/_load_error_log?file={name}"

    def as_lines(self, rows: Iterable[dict[str, object]]) -> list[bytes]:
        return [json.dumps(row, ensure_ascii=False).encode() for row in rows]

    def heard(self, statement: str) -> None:
        """Note a statement, and break where that was asked for."""
        self.statements.append(statement)
        if self.faults.take(LOST_QUERY)[0]:
            raise ConnectionError("as was asked for")
        refused, message = self.faults.take(REFUSED_QUERY)
        slow, seconds = self.faults.take(SLOW_QUERY)
        if slow:  # last: whoever asked may be gone by then, and other faults be waiting
            time.sleep(seconds)
        if refused:
            raise DorisError(message)

    def _loader(self, definition: Definition) -> Loader:
        return Loader(self.catalog[definition.database], definition.table, mapping_of(definition))

    def stop(self) -> None:
        self.routine_loads.stop()
        for node in (*self.frontends, *self.backends):
            node.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
