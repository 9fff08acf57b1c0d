"""A site with Kafka, MariaDB and Redis, two receivers, and what processes the queues."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.cursors import read_ledgers
from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.cli.progress import messages_left, outbox_depth, unfinished_receipts
from dicom_pipeline.cli.status import queue_statuses
from dicom_pipeline.demo.accounting import missing
from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.modality import Modality
from dicom_pipeline_tests.receiver.running import process
from dicom_pipeline_tests.receiver.running import read_status as receiver_status
from dicom_pipeline_tests.stack import FRUGAL, RunningStack
from dicom_pipeline_tests.ticker import Ticker

NODES = ("node-1", "node-2")
PARTITIONS = 3
QUICK = {**FRUGAL, "stream_backoff_seconds": 1, "stream_backoff_max_seconds": 4}
"""Few ranges, and they come back soon."""
CATCH_UP_SECONDS = 300
LEDGERS_SHARE = 0.3
"""How many of the looks go to the sensors' ledgers, which take longer to read."""


def wait_until(reached, seconds: float = CATCH_UP_SECONDS, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or reached}"
        time.sleep(0.5)


class Site:
    """What a test needs of a running site.

    Args:
        folder: where homes and storage are.
        choices: settings by their names, the URLs of the systems among them.
    """

    def __init__(self, folder: Path, **choices: object) -> None:
        self.storage = folder / "storage"
        self.homes = {node: folder / node for node in NODES}
        self.choices = {
            **QUICK,
            **choices,
            "storage_root": self.storage,
            "event_log_partitions": PARTITIONS,
        }
        """Settings that all parts of the site share, by their names."""
        self.settings = Settings(dicom_pipeline_home=folder / "stack", **self.choices)
        self.ledgers = partial(read_ledgers, self.settings)

    @property
    def variables(self) -> dict[str, str]:
        """The same as environment variables."""
        return {name.upper(): str(value) for name, value in self.choices.items()}

    def port(self, node: str) -> int:
        status = receiver_status(self.homes[node])
        assert status is not None
        return status["port"]

    def modality(self, node: str, data_sets, per_second: float) -> Modality:
        """One that sends to a receiver; started."""
        modality = Modality(lambda: self.port(node), data_sets, per_second)
        modality.start()
        return modality

    def left(self) -> dict[str, int]:
        """What is not done yet, wherever it is. Each part is read after those that feed it."""
        return {**self.on_the_way(), **messages_left(self.settings)}

    def on_the_way(self) -> dict[str, int]:
        """What is at the receivers, and in no queue yet."""
        receipts = unfinished_receipts(self.settings)
        outboxes = {
            f"outbox of {node}": outbox_depth(Settings(dicom_pipeline_home=home))
            for node, home in self.homes.items()
        }
        return {"receipts": receipts, **outboxes}

    def lag(self) -> int:
        """The lag of all stages as `status` tells it from their ledgers."""
        ledgers = self.ledgers()
        with open_event_log(self.settings) as log, open_catalog(self.settings) as catalog:
            queues = queue_statuses(self.settings, log, catalog, ledgers)
        return sum(queue.lag_messages for queue in queues)

    def wait_until_caught_up(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                left = self.left()
            except TransientError as error:
                left = {str(error): 1}
            if not any(left.values()):
                return
            assert time.monotonic() < deadline, f"after {seconds} s these are left: {left}"
            time.sleep(1)

    def require_exactly_once(self, acknowledged) -> None:
        """Every object is stored, indexed and decided, nothing is doubled, nobody is needed."""
        assert missing(self.settings, acknowledged) == []
        with open_catalog(self.settings) as catalog, open_warehouse(self.settings) as warehouse:
            assert catalog.abandoned() == []
            for table in ("instance", "rendition"):
                assert _doubled(catalog, table, "tenant_id, sop_uid") == []
            assert _doubled(warehouse, "dicom_image", "tenant_id, sop_uid") == []
            assert _doubled(warehouse, "dicom_object_meta", "trace_id") == []
            (counted,) = catalog.query("SELECT SUM(number_of_instances) AS n FROM study")
            (instances,) = catalog.query("SELECT COUNT(*) AS n FROM instance")
            assert counted["n"] == instances["n"]
            paths = catalog.query("SELECT file_path FROM storage_record")
        stored = Counter(str(row["file_path"]) for row in paths)
        files = {str(path.relative_to(self.storage)) for path in self.storage.rglob("*.dcm")}
        assert stored == dict.fromkeys(files, 1)


def _doubled(store, table: str, key: str) -> list:
    return store.query(f"SELECT {key} FROM {table} GROUP BY {key} HAVING COUNT(*) > 1")


@contextmanager
def _receivers(site: Site) -> Iterator[None]:
    with ExitStack() as undo:
        for node, home in site.homes.items():
            undo.enter_context(process(home, **{**site.variables, "WORKER_NODE_ID": node}))
        yield


@contextmanager
def site_with_dagster(folder: Path, **choices: object) -> Iterator[tuple[Site, RunningStack]]:
    """A site whose queues are processed by `up --no-receiver`: everything is real."""
    site = Site(folder, **choices)
    stack = RunningStack(site.settings.home, "--no-receiver", wait=False, **site.choices)
    with stack, _receivers(site):
        stack.wait_until_ready()
        yield site, stack


@contextmanager
def site_with_ticker(folder: Path, **choices: object) -> Iterator[tuple[Site, Ticker]]:
    """A site whose queues are processed in this process: quick."""
    site = Site(folder, **choices)
    list(migrate(site.settings))
    with pytest.MonkeyPatch.context() as patch, _receivers(site):
        for name, value in site.variables.items():
            patch.setenv(name, value)
        patch.setenv("DICOM_PIPELINE_HOME", str(site.settings.home))
        ticker = Ticker()
        site.ledgers = ticker.ledgers
        ticker.start()
        try:
            yield site, ticker
        finally:
            ticker.end()


class LagWatch(threading.Thread):
    """Holds, all the time, that what is left is 0 only when everything acknowledged is done.

    Args:
        site: what to look at.
        acknowledged: gives what was acknowledged until now.
    """

    PAUSE_SECONDS = 1.5

    def __init__(self, site: Site, acknowledged) -> None:
        super().__init__(daemon=True)
        self._site = site
        self._acknowledged = acknowledged
        self._stopping = threading.Event()
        self.looks = 0
        """How often a number could be had."""
        self.refused = 0
        """How often a system was away."""
        self.untrue: list[str] = []

    def run(self) -> None:
        while not self._stopping.wait(self.PAUSE_SECONDS):
            try:
                self._look()
            except TransientError:
                self.refused += 1
            except Exception as error:  # noqa: BLE001 - told by the test
                self.untrue.append(f"{type(error).__name__}: {error}")

    def _look(self) -> None:
        before = list(self._acknowledged())
        left = self._by_the_ledgers() if random.random() < LEDGERS_SHARE else self._site.left()
        self.looks += 1
        if not any(left.values()) and (lacking := missing(self._site.settings, before)):
            self.untrue.append(f"nothing is left, but {lacking[:3]} ({len(lacking)}) is missing")

    def _by_the_ledgers(self) -> dict[str, int]:
        """They know nothing of what no event tells of yet: that is looked at first."""
        return {**self._site.on_the_way(), "lag": self._site.lag()}

    def end(self) -> None:
        """Stop, and say what was untrue."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()
        assert self.untrue == []
        assert self.looks
