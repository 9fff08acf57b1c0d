"""Servers in threads that can be stopped at once, as if their machine had been switched off."""

import contextlib
import socket
import socketserver
import threading
from http.server import ThreadingHTTPServer


class Stoppable:
    """Mixed into a threading server: keeps its connections, so that stopping breaks them."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, *args, **more) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args, **more)

    def process_request(self, request, client_address) -> None:
        self._open.add(request)
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        """A client that is gone is no news."""

    def start(self) -> None:
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                connection.close()


class TcpServer(Stoppable, socketserver.ThreadingTCPServer):
    pass


class HttpServer(Stoppable, ThreadingHTTPServer):
    pass
