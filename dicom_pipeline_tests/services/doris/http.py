"""HTTP of frontends and backends: Stream Load, and the error logs."""

import base64
import json
import socket
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote, urlsplit

from dicom_pipeline_tests.services.doris import faults
from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.labels import ABORTED, FINISHED, RUNNING, Transaction
from dicom_pipeline_tests.services.doris.loading import Loader, Mapping

_ROUTE = ["", "api", None, None, "_stream_load"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def cluster(self):
        return self.server.node.cluster

    def handle_expect_100(self) -> bool:
        return True  # who asks for the body says so itself

    def log_message(self, *_) -> None:
        pass

    def answer(self, content: object, status: int = 200, **headers: str) -> None:
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def credentials(self) -> tuple[str, str] | None:
        scheme, _, secret = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(secret).decode().partition(":")
        return (user, password) if self.cluster.users.get(user) == password else None

    def target(self) -> tuple[str, str] | None:
        path = urlsplit(self.path).path.split("/")
        fits = len(path) == len(_ROUTE) and path[1] == "api" and path[4] == "_stream_load"
        return (path[2], path[3]) if fits else None

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class FrontendHandler(_Handler):
    """Sends a load to a backend, with the user's password in the address, as Doris does."""

    def do_PUT(self) -> None:
        self.cluster.asked.append((self.server.node.host, dict(self.headers)))
        self.cluster.faults.hold(faults.HOLD_AT_FRONTEND)
        due, status = self.cluster.faults.take(faults.STATUS)
        if due:
            self.answer("out of order", status)
            return
        credentials = self.credentials()
        if credentials is None:
            self.answer({"msg": "Unauthorized", "code": 401, "data": "Access denied"}, 401)
            return
        if self.target() is None:
            self.answer({"status": "FAILED", "msg": "not found"}, 404)
            return
        if "Expect" not in self.headers:
            self.answer({"status": "FAILED", "msg": "There is no 100-continue header"})
            return
        backend = self.cluster.next_backend()
        if backend is None:
            self.answer({"status": "FAILED", "msg": "No backend available."})
            return
        user, password = (quote(part, safe="") for part in credentials)
        address = f"{self.cluster.scheme}://{user}:{password}@{backend.shown}{self.path}"
        self.answer("", 307, Location=address)


class BackendHandler(_Handler):
    """Loads, under a label."""

    def do_GET(self) -> None:
        path, _, name = self.path.partition("?file=")
        known = path == "/api/_load_error_log" and name in self.cluster.error_logs
        self.answer(self.cluster.error_logs[name] if known else "not found", 200 if known else 404)

    def do_PUT(self) -> None:
        self.cluster.asked.append((self.server.node.host, dict(self.headers)))
        where = self.target()
        if self.credentials() is None or where is None:
            self.answer(_told("", "Fail", "[ACCESS_DENIED]Access denied for user"))
            return
        database, table = where
        label = self.headers.get("label") or f"double_{time.monotonic_ns()}"
        if not self.cluster.is_label(label):
            self.answer(_told(label, "Fail", f"[INTERNAL_ERROR]Label format error: {label}"))
            return
        transaction, new = self.cluster.labels(database).begin(label)
        if not new:
            self.answer(
                _told(
                    label,
                    "Label Already Exists",
                    f"[LABEL_ALREADY_EXISTS]Label [{label}] has already been used, relate to txn "
                    f"[{transaction.number}]",
                    ExistingJobStatus=transaction.status,
                )
            )
            return
        transaction.status = RUNNING
        try:
            self._load(transaction, database, table)
        except DorisError as error:
            transaction.status = ABORTED
            self.answer(_told(label, "Fail", f"[ANALYSIS_ERROR]{error.text}"))
        except (ConnectionError, TimeoutError):
            if transaction.status == RUNNING:  # what is done stays done, whoever listens
                transaction.status = ABORTED
            raise

    def _load(self, transaction: Transaction, database: str, table: str) -> None:
        due, message = self.cluster.faults.take(faults.FAIL)
        if due:
            transaction.status = ABORTED
            self.answer(_told(transaction.label, "Fail", message))
            return
        loader = Loader(self.cluster.catalog[database], table, self._mapping())
        self.send_response_only(100)
        self.end_headers()
        body = self._body(transaction)
        if body is None:
            return
        loaded = loader.read(line for line in body.splitlines() if line.strip())
        total = len(loaded.rows) + len(loaded.refused)
        counts = {
            "NumberTotalRows": total,
            "NumberFilteredRows": len(loaded.refused),
            "NumberUnselectedRows": 0,
            "LoadBytes": len(body),
        }
        if loaded.refused:
            counts["ErrorURL"] = self.cluster.write_error_log(self.server.node, loaded.refused)
        if len(loaded.refused) > float(self.headers.get("max_filter_ratio", "0")) * total:
            transaction.status = ABORTED
            message = "[DATA_QUALITY_ERROR]too many filtered rows"
            self.answer(_told(transaction.label, "Fail", message, NumberLoadedRows=0, **counts))
            return
        loader.write(loaded.rows)
        transaction.status = FINISHED
        self.cluster.loads.append((transaction.label, len(loaded.rows)))
        self._success(transaction, {**counts, "NumberLoadedRows": len(loaded.rows)})

    def _success(self, transaction: Transaction, counts: dict[str, object]) -> None:
        self.cluster.faults.hold(faults.HOLD_BEFORE_ANSWER)
        if self.cluster.faults.take(faults.LOSE_ANSWER)[0]:
            self.hang_up()
            return
        late = self.cluster.faults.take(faults.PUBLISH_TIMEOUT)[0]
        slow, seconds = self.cluster.faults.take(faults.SLOW)
        if slow:
            time.sleep(seconds)
        status = "Publish Timeout" if late else "Success"
        self.answer(_told(transaction.label, status, "OK", TxnId=transaction.number, **counts))

    def _mapping(self) -> Mapping:
        headers = self.headers
        if headers.get("format") != "json" or headers.get("read_json_by_line") != "true":
            raise DorisError("the double reads JSON by line only")
        return Mapping(
            columns=headers.get("columns", ""),
            jsonpaths=json.loads(headers.get("jsonpaths", "[]")),
            strict=headers.get("strict_mode") == "true",
            zone=headers.get("timezone", "Asia/Shanghai"),
            sequence=headers.get("function_column.sequence_col", ""),
        )

    def _body(self, transaction: Transaction) -> bytes | None:
        """The body; None when this backend does not live to read it."""
        size = int(self.headers["Content-Length"])
        dies, seconds = self.cluster.faults.take(faults.DIE_IN_BODY)
        breaks = self.cluster.faults.take(faults.ABORT_IN_BODY)[0]
        body = self.rfile.read(size // 2 if dies or breaks else size // 4)
        if not dies and not breaks:
            self.cluster.faults.hold(faults.HOLD_IN_BODY)
            body += self.rfile.read(size - len(body))
        if dies:
            transaction.until = time.monotonic() + (seconds or 0)
            self.server.node.stop()
            return None
        if breaks or len(body) < size:
            transaction.status = ABORTED
            self.hang_up()
            return None
        return body


def _told(label: str, status: str, message: str, **more: object) -> dict[str, object]:
    return {"TxnId": -1, "Label": label, "Status": status, "Message": message, **more}
