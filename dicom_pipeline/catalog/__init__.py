"""The port of the catalog: storage records, the study index and renditions."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.settings import Settings
from dicom_pipeline.table_columns import Row


class IndexedObject(NamedTuple):
    """What the index stage knows of one object: a row for each level of the study index.

    Each row holds the columns of `imaging.tag_columns` plus ``tenant_id``, ``trace_id``,
    ``row_version`` and ``findings``; ``instance`` also has ``file_path`` and ``file_size``. The row
    of a parent may be empty: that parent is there already, and what this object says is not newer.
    """

    patient: Row
    study: Row
    series: Row
    instance: Row


class Study(NamedTuple):
    """Which study."""

    tenant_id: str
    study_uid: str


class DueManifest(NamedTuple):
    """A study whose manifest no longer says what the catalog does."""

    study: Study
    mark: str
    """Unique; marks of one machine sort by their time."""


class WrittenManifest(NamedTuple):
    """What the manifest of a study shows."""

    study: Study
    modalities: tuple[str, ...] = ()
    shown: int = 0
    """Objects that can be opened."""
    not_shown: int = 0
    failed: int = 0
    """Those of them whose images should be there; the others have none, or wait."""


class AbandonedRange(NamedTuple):
    """A range that waits for an operator, because its attempts ran out or cannot help."""

    offsets: OffsetRange
    attempts: int
    reason: str


class Catalog(Protocol):
    """Every write is one transaction, idempotent, and ordered by ``(row_version, trace_id)``.

    Calls raise `TransientError` while the database is away or locked.

    What changes the study index or a rendition makes the manifests of the studies concerned due, in
    the same transaction.
    """

    def record_storage(self, records: Sequence[Row], skeletons: Sequence[IndexedObject]) -> None:
        """Upsert rows of ``storage_record`` and insert missing patient, study and series rows.

        Skeleton rows hold keys and parents only (``instance`` is not written); their
        ``row_version`` is 0, so that they never change a row that was indexed.
        """

    def index(self, objects: Sequence[IndexedObject]) -> set[Study]:
        """Upsert instances and their parents; recount every old and new parent concerned.

        Parents may be skeleton rows, where only the instance's own row is known. Returns the
        studies whose instances or counts may have changed.
        """

    def record_renditions(self, renditions: Sequence[Row]) -> None:
        """Upsert rows of ``rendition``."""

    def abandon(self, abandoned: AbandonedRange) -> None:
        """Write down a range that waits for an operator."""

    def recovered(self, offsets: OffsetRange) -> None:
        """A run over this range has succeeded: it waits for nobody any more."""

    def abandoned(self, topic: str | None = None) -> list[AbandonedRange]:
        """The ranges that wait for an operator, of one topic or of all."""

    def manifests_due(self, limit: int) -> list[DueManifest]:
        """The studies whose manifests are due, the oldest marks first."""

    def mark_all_manifests(self) -> None:
        """Make the manifest of every study due."""

    def note_manifests(self, written: Sequence[WrittenManifest]) -> None:
        """Keep what these manifests show, for the lists of studies."""

    def take_back(self, marks: Sequence[DueManifest]) -> None:
        """Their manifests are written: take back these marks, and none that was set meanwhile."""

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        """Rows of a SELECT with ``:name`` parameters."""

    def migrate(self) -> list[str]:
        """Apply the migrations that are missing and return their names."""

    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_catalog(settings: Settings) -> Catalog:
    """The catalog that ``CATALOG_URL`` chooses; the embedded one when it is empty.

    Raises:
        ConfigurationError: the URL names no database that the catalog can be in.
    """
    from dicom_pipeline.catalog.sql import SqlCatalog  # noqa: PLC0415 - not for the receiver

    return SqlCatalog(_url(settings))


def catalog_drift(settings: Settings) -> list[str]:
    """Where the catalog's live schema deviates from what the migrations have made; for `doctor`.

    Raises:
        TransientError: the database is away.
        ConfigurationError: it does not know the user or has no such database.
    """
    from dicom_pipeline.catalog.sql import SqlCatalog  # noqa: PLC0415 - not for the receiver

    with SqlCatalog(_url(settings)) as catalog:
        return catalog.drift()


def _url(settings: Settings) -> str:
    return settings.catalog_url or f"sqlite:///{settings.home / 'catalog.db'}"
