"""Stands in for the Dagster UI: tells what it was asked, and echoes what a websocket brings."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream:
    """A server on a free port of 127.0.0.1, while it is entered."""

    def __init__(self):
        self.requests = []
        """Each request's line and headers."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.requests))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(requests):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            requests.append((self.requestline, dict(self.headers)))
            if self.headers.get("Upgrade") == "websocket":
                self._echo()
                return
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ui")

        do_POST = do_GET  # noqa: N815 - the name that the library asks for

        def _echo(self):
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.close_connection = True
            while data := self.connection.recv(1024):
                self.connection.sendall(data)

        def log_message(self, *_):
            pass

    return Handler
