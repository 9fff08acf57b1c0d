"""Making queues and tables ready while the receiver already takes objects."""

import threading
from collections.abc import Callable
from typing import Final

from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.errors import TransientError
from dicom_pipeline.settings import Settings

PAUSE_SECONDS: Final = 2.0
"""Between two attempts while a system is away."""
_STOP_SECONDS: Final = 10.0


class Preparation:
    """Migrates in a thread of its own, again and again while a system is away.

    Args:
        settings: choose the systems.
        say: takes a line for each system, and each new reason to wait.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._done = threading.Event()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="preparation", daemon=True)

    def start(self) -> None:
        """Start; the caller goes on."""
        self._thread.start()

    def done(self) -> bool:
        """Whether everything is ready.

        Raises:
            PipelineError: it cannot be made ready: a setting is wrong, or a schema does not fit.
        """
        if self._failure:
            raise self._failure
        return self._done.is_set()

    def stop(self) -> None:
        """Start nothing new; what is being applied has a while to end."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                applied = list(migrate(self._settings))
            except TransientError as error:
                if str(error) != said:
                    said = str(error)
                    self._say(f"waiting: {said}")
                self._stopping.wait(PAUSE_SECONDS)
            except BaseException as error:  # noqa: BLE001 - raised by `done`
                self._failure = error
                return
            else:
                for system, done in applied:
                    self._say(f"{system}: {', '.join(done) or 'up to date'}")
                self._done.set()
                return
