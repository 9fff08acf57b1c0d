"""Running the file server until it is asked to stop."""

import logging
import socket
from contextlib import suppress
from typing import Final

import uvicorn

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.file_server.application import application
from dicom_pipeline.file_server.exposure import exposed
from dicom_pipeline.settings import Settings

logger = logging.getLogger(__name__)

_REQUESTS_MAX: Final = 256
_REQUEST_BYTES: Final = 16 << 10
_IDLE_SECONDS: Final = 15
_STOP_SECONDS: Final = 3
_BACKLOG: Final = 128


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: it cannot listen where the settings say.
    """
    if warning := exposed(settings):
        logger.warning(warning)
    listening = _listen(settings.viewer_host, settings.viewer_port)
    host, port, *_ = listening.getsockname()
    logger.info("file server listening", extra={"host": host, "port": port})
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the rest is said here
    config = uvicorn.Config(
        application(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        limit_concurrency=_REQUESTS_MAX,
        h11_max_incomplete_event_size=_REQUEST_BYTES,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    with listening, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"VIEWER_HOST={host} VIEWER_PORT={port}: cannot listen there ({error.strerror}): stop "
            "the program that does, choose another port, or 0 for a free one"
        ) from error
