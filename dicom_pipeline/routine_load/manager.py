"""What a person does with the routine load: create, show, alter, pause, resume, stop, recreate."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from dicom_pipeline.errors import ConfigurationError, PermanentError, PipelineError
from dicom_pipeline.event_log import EventLog, Watermarks
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline.routine_load import statements
from dicom_pipeline.routine_load.positions import positions_accounted_for, positions_after
from dicom_pipeline.routine_load.properties import altered, job_properties, needed_files
from dicom_pipeline.routine_load.state import Code, RoutineLoadState, State, parse
from dicom_pipeline.routine_load.statements import Offsets, Start, Statement
from dicom_pipeline.warehouse.doris.options import DorisOptions
from dicom_pipeline.warehouse.doris.session import Session

logger: Final = logging.getLogger(__name__)

OTHER_COLUMNS: Final = (
    "it reads other columns than this version writes: recreate it (`dicom-pipeline routine-load "
    "recreate`)"
)

_JSONPATHS: Final = "jsonpaths"
_NONE: Final = "there is no job named"
_THERE_ALREADY: Final = "already used"
_NO_FILE: Final = "catalog: kafka"


class RoutineLoad:
    """The one routine load that feeds ``dicom_object_meta``.

    Every call may be repeated. Calls raise `TransientError` while Doris or Kafka is away.

    Args:
        session: statements.
        options: its name and properties.
        kafka: how its consumers find the brokers.
        log: the same brokers, as this program sees them.
    """

    def __init__(
        self, session: Session, options: DorisOptions, kafka: KafkaUrl, log: EventLog
    ) -> None:
        self._session = session
        self._options = options
        self._kafka = kafka
        self._log = log
        self._name = options.routine_load

    @property
    def name(self) -> str:
        """Its name in Doris."""
        return self._name

    @property
    def topic(self) -> str:
        """The name of the log queue in the cluster."""
        return self._kafka.topic_prefix + LOG_QUEUE

    def all(self) -> list[RoutineLoadState]:
        """Every routine load of this name that Doris remembers, the newest first."""
        try:
            rows = self._query(statements.show(self._name))
        except PermanentError as error:
            if _NONE in str(error).lower():
                return []
            raise
        return sorted(map(parse, rows), key=lambda one: one.id, reverse=True)

    def find(self) -> RoutineLoadState | None:
        """The one that is not stopped or cancelled; None: there is none."""
        return next((one for one in self.all() if not one.state.is_final), None)

    def require(self) -> RoutineLoadState:
        """The one that is not stopped or cancelled.

        Raises:
            PermanentError: there is none.
        """
        found = self.find()
        if found is None:
            raise PermanentError(
                f"there is no routine load {self._name}: create it with `dicom-pipeline "
                "routine-load create`"
            )
        return found

    def create(self, start: Start | None = None) -> str:
        """Create it unless it is there, and say what was done.

        It goes on where the last one of its name stood; or behind what was accounted for, when
        Doris has forgotten that one. The very first begins with the first message.

        Raises:
            PermanentError: see `positions_after`.
        """
        loads = self.all()
        found = next((one for one in loads if not one.state.is_final), None)
        if found is not None:
            other = f", but {OTHER_COLUMNS}" if self.reads_other_columns(found) else ""
            return f"{self._name} is there already, {found.state}{other}"
        former = loads[0] if loads else None
        return self._create(start or self._start(former))

    def alter(
        self, properties: Mapping[str, str] | None = None, offsets: Offsets | None = None
    ) -> str:
        """Change properties, or the offsets that are read next, and say what was done.

        Without either, the properties become those of the settings. What was running is paused,
        altered and resumed; what was paused stays so. After a failure it is as it was before.

        Raises:
            ConfigurationError: a property or an offset is none.
            PermanentError: Doris refuses, or only to recreate it helps.
        """
        found = self.require()
        if self.reads_other_columns(found):
            raise PermanentError(f"{self._name}: {OTHER_COLUMNS}")
        wanted = altered(properties) if properties else {}
        if not properties and not offsets:
            wanted = self.deviations(found)
            if not wanted:
                return f"{self._name} has the properties of the settings"
        moved = self._moved(found, offsets or {})
        with self.paused(found):
            self.alter_paused(wanted, self._every_offset(moved))
        told = [f"{name} = {value}" for name, value in wanted.items()]
        told += [f"partition {partition} from offset {moved[partition]}" for partition in moved]
        return f"{self._name} altered: {', '.join(told)}"

    def alter_paused(self, properties: Mapping[str, str], offsets: Offsets) -> None:
        """ALTER, while it is paused; ``offsets`` of all partitions that it reads, or none."""
        if properties or offsets:
            self._execute(statements.alter(self._name, properties, offsets))

    def pause(self) -> str:
        """Pause it until somebody resumes it."""
        found = self.require()
        if found.stays_paused:
            return f"{self._name} is paused already: {found.reason}"
        self._pause(found)
        return f"{self._name} is paused"

    def resume(self) -> str:
        """Resume it.

        Raises:
            PermanentError: it was paused for rows that were refused, or for offsets that are gone:
                it would be paused again, or go on without them.
        """
        found = self.require()
        if found.state is not State.PAUSED:
            return f"{self._name} is not paused, it is {found.state}"
        if found.reason.code in {Code.TOO_MANY_FAILURE_ROWS, Code.CANNOT_RESUME}:
            raise PermanentError(
                f"{self._name} was paused because {found.reason}: repair it, which resumes it "
                "(`dicom-pipeline routine-load repair`)"
            )
        return self.resume_anyway()

    def resume_anyway(self) -> str:
        """Resume it, whatever it was paused for."""
        self._execute(statements.resume(self._name))
        return f"{self._name} is resumed"

    def stop(self) -> str:
        """Stop it for good. `create` makes another that goes on where it stood."""
        self.require()
        self._execute(statements.stop(self._name))
        return f"{self._name} is stopped"

    def recreate(self, start: Start | None = None) -> str:
        """Stop it and create it anew from where it stood, with the properties of the settings.

        Where to begin is known before it is stopped; when it cannot be known, it goes on as it
        was. A crash in between leaves it stopped, and the same call, or `create`, goes on.

        Raises:
            PermanentError: see `positions_after`.
        """
        found = self.find()
        if found is None:
            return self.create(start)
        with self.paused(found, resume=False) as standing:
            wanted = start or positions_after(standing, self.topic, self._log)
        self._execute(statements.stop(self._name))
        return self._create(wanted)

    @contextmanager
    def paused(self, found: RoutineLoadState, *, resume: bool = True) -> Iterator[RoutineLoadState]:
        """Paused while in the context; yields the state in which its progress stands still.

        Afterwards it runs again if it did before and ``resume`` is set, or an error is raised.
        """
        was_paused = found.stays_paused
        if not was_paused:
            self._pause(found)
        try:
            yield self.require()
        except BaseException:
            if not was_paused:
                self._restore()
            raise
        if resume and not was_paused:
            self._execute(statements.resume(self._name))

    def deviations(self, found: RoutineLoadState) -> dict[str, str]:
        """Properties of the settings that the routine load has not, with their values there.

        The jsonpaths are left out: they go with COLUMNS, which ALTER leaves as they are.
        """
        return {
            name: value
            for name, value in job_properties(self._options).items()
            if name != _JSONPATHS and _differs(found.properties.get(name), value)
        }

    def reads_other_columns(self, found: RoutineLoadState) -> bool:
        """Whether another version of this program has created it, for other columns."""
        shown = found.properties.get(_JSONPATHS)
        wanted = job_properties(self._options)[_JSONPATHS]
        return bool(shown) and "".join(str(shown).split()) != wanted

    def _start(self, former: RoutineLoadState | None) -> Start | Offsets:
        if former is not None:
            return positions_after(former, self.topic, self._log)
        return positions_accounted_for(self._log) or Start.BEGINNING  # nobody has ever read it

    def _create(self, start: Start | Offsets) -> str:
        topic_id = self._log.topic_id(LOG_QUEUE)
        try:
            self._execute(statements.create(self._options, self._kafka, topic_id, start))
        except PipelineError as error:
            if _THERE_ALREADY in str(error).lower():
                return f"{self._name} is there already"
            if (files := needed_files(self._kafka)) and _NO_FILE in str(error).lower():
                raise ConfigurationError(
                    f"{self._name} needs Kafka's TLS files in Doris, too: "
                    f"{', '.join(sorted(files))}: bring them there with CREATE FILE … PROPERTIES "
                    '("url" = …, "catalog" = "kafka")'
                ) from None
            raise
        where = start.value if isinstance(start, Start) else _listed(start)
        return f"{self._name} created from {where}"

    def _moved(self, found: RoutineLoadState, offsets: Offsets) -> dict[int, int]:
        watermarks = self._log.watermarks(LOG_QUEUE)
        for partition, offset in offsets.items():
            if partition not in found.progress:
                raise ConfigurationError(
                    f"{self._name} does not read partition {partition}, only "
                    f"{', '.join(map(str, sorted(found.progress))) or 'none yet'}"
                )
            low, high = watermarks.get(partition, Watermarks(0, 0))
            if not low <= offset <= high:
                raise ConfigurationError(
                    f"partition {partition} holds the offsets from {low} to {high}, not {offset}"
                )
        return dict(offsets)

    def _every_offset(self, moved: Offsets) -> dict[int, int]:
        """``moved``, with the other partitions where they stand now."""
        if not moved:
            return {}
        return self.require().next_offsets(self._log.watermarks(LOG_QUEUE)) | dict(moved)

    def _pause(self, found: RoutineLoadState) -> None:
        """Pause what runs, or what Doris would resume by itself: it refuses to pause that twice."""
        if found.state is State.PAUSED:
            self._execute(statements.resume(self._name))
        self._execute(statements.pause(self._name))

    def _restore(self) -> None:
        """Resume after a failure; a failure of this as well is told, not raised."""
        try:
            self._execute(statements.resume(self._name))
        except PipelineError as error:
            logger.warning("%s stays paused: %s", self._name, error)

    def _query(self, statement: Statement) -> list[dict[str, object]]:
        return self._session.query(statement.sql, statement.parameters)

    def _execute(self, statement: Statement) -> None:
        self._session.execute(statement.sql, statement.parameters)


def _differs(found: str | None, wanted: str) -> bool:
    if found is None:
        return False  # versions of Doris differ in what they show
    try:
        return float(found) != float(wanted)
    except ValueError:
        return found.lower() != wanted.lower()


def _listed(offsets: Offsets) -> str:
    return ", ".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
