"""The double of Doris as a program, on the ports that docker/compose.yaml expects."""

import os
import signal
import socket
import threading

from dicom_pipeline_tests.services.doris.cluster import Backend, DorisDouble, Frontend

MYSQL_PORT, HTTP_PORT = 9030, 8030
USER, DATABASE = "pipeline", "imaging"


def main() -> None:
    """Serve until SIGTERM, on the own address, which the redirects name, and on loopback."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    double = DorisDouble(frontends=0, backends=0)
    double.users = {USER: os.environ["DORIS_PASSWORD"]}
    host = socket.gethostbyname(socket.gethostname())
    double.backends.append(Backend(double, host))
    double.frontends += [
        Frontend(double, each, MYSQL_PORT, HTTP_PORT) for each in (host, "127.0.0.1")
    ]
    with double:
        stopping.wait()


if __name__ == "__main__":
    main()
