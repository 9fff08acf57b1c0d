"""The job behind a routine load: a thread that consumes the tests' real Kafka in batches."""

import json
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from dicom_pipeline_tests.services.doris.errors import DorisError

BEGINNING, END = -2, -1
_SHOWN = {0: "OFFSET_ZERO", BEGINNING: "OFFSET_BEGINNING", END: "OFFSET_END"}
_STICKY = {100, 102, 105}
_END_SECONDS = 10
_STATISTIC = (
    "totalRows",
    "loadedRows",
    "errorRows",
    "unselectedRows",
    "receivedBytes",
    "committedTaskNum",
    "abortedTaskNum",
    "errorRowsAfterResumed",
)
_WINDOW = 10
"""Errors are counted over so many times max_batch_rows."""
_QUIET = logging.getLogger(f"{__name__}.client")
_QUIET.propagate = False


class State(StrEnum):
    NEED_SCHEDULE = "NEED_SCHEDULE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in {State.STOPPED, State.CANCELLED}


@dataclass
class Definition:
    """What CREATE and ALTER said."""

    name: str
    database: str
    table: str
    columns: str
    properties: dict[str, str]
    kafka: dict[str, str]
    comment: str


class Job:
    """One routine load.

    What it has read past: as in Doris, a batch with refused rows is committed, the good rows are
    loaded, the progress moves, and then the job may pause. With ``cluster.routine_loads.rereads``
    a batch that pauses the job is aborted instead, and read again after the resume.
    """

    def __init__(self, loads, number: int, definition: Definition, **start) -> None:
        self.id = number
        self.definition = definition
        self.lock = threading.RLock()
        self.state = State.NEED_SCHEDULE
        self.progress: dict[int, int] = dict(start["offsets"])
        """The next offset of each partition."""
        self.pinned: bool = start["pinned"]
        self.partitions: list[int] = sorted(self.progress)
        self.default: int = start["default"]
        self.statistic = dict.fromkeys(_STATISTIC, 0)
        self.latest: dict[int, int] = {}
        self._loads = loads
        self._reason = ""
        self._code: int | None = None
        self._window = [0, 0]
        self._urls: deque[str] = deque(maxlen=3)
        self._created = _now()
        self._paused = self._ended = ""
        self._paused_at = 0.0
        self._auto_resumes = 0
        self._epoch = 0
        self._consumer: Consumer | None = None
        self._down = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until its consumer is closed: the process must not end in the middle of that."""
        self._thread.join(_END_SECONDS)

    def pause(self, code: int, message: str) -> None:
        with self.lock:
            if self.state is State.PAUSED or self.state.is_final:
                raise DorisError(f"Could not transform {self.state} to PAUSED")
            self.state, self._code, self._reason = State.PAUSED, code, message
            self._paused, self._paused_at = _now(), time.monotonic()
            self._window = [0, 0]
            self._epoch += 1

    def resume(self) -> None:
        with self.lock:
            if self.state is State.RUNNING or self.state.is_final:
                raise DorisError(f"Could not transform {self.state} to NEED_SCHEDULE")
            self.statistic["errorRowsAfterResumed"] = 0
            self._auto_resumes = 0
            self._need_schedule()

    def stop(self, state: State) -> None:
        with self.lock:
            self.state, self._ended = state, _now()
            self._epoch += 1

    def shown(self) -> dict[str, object]:
        """A row of SHOW ROUTINE LOAD. Like the versions before 4.0.8 it shows passwords."""
        with self.lock:
            options, kafka = self.definition.properties, self.definition.kafka
            consumers = {n[9:]: v for n, v in kafka.items() if n.startswith("property.")}
            progress = {p: _SHOWN.get(at, str(at - 1)) for p, at in self.progress.items()}
            lag = {p: self.latest.get(p, at - 1) - at for p, at in self.progress.items()}
            reason = f"ErrorReason{{code=errCode = {self._code}, msg='{self._reason}'}}"
            return {
                "Id": self.id,
                "Name": self.definition.name,
                "CreateTime": self._created,
                "PauseTime": self._paused if self.state is State.PAUSED else None,
                "EndTime": self._ended or None,
                "DbName": self.definition.database,
                "TableName": self.definition.table,
                "IsMultiTable": "false",
                "State": self.state.value,
                "DataSourceType": "KAFKA",
                "CurrentTaskNum": int(self.state is State.RUNNING),
                "JobProperties": json.dumps({**options, "columnToColumnExpr": "…"}),
                "DataSourceProperties": json.dumps(
                    {
                        "topic": kafka["kafka_topic"],
                        "brokerList": kafka["kafka_broker_list"],
                        "currentKafkaPartitions": ",".join(map(str, self.partitions)),
                    }
                ),
                "CustomProperties": json.dumps(consumers),
                "Statistic": json.dumps({**self.statistic, "runningTxns": []}),
                "Progress": json.dumps(progress),
                "Lag": json.dumps(lag),
                "ReasonOfStateChanged": reason if self.state is State.PAUSED else "",
                "ErrorLogUrls": ", ".join(self._urls),
                "OtherMsg": "",
                "User": "pipeline",
                "Comment": self.definition.comment,
            }

    def _run(self) -> None:
        while not self._loads.stopped and not self.state.is_final:
            try:
                if self.state is State.NEED_SCHEDULE:
                    self._schedule()
                elif self.state is State.RUNNING:
                    self._task()
                else:
                    self._resume_by_itself()
            except DorisError as error:  # its database or table is gone
                self._reason = str(error)
                self.stop(State.CANCELLED)
        self._close()

    def _resume_by_itself(self) -> None:
        time.sleep(0.01)
        with self.lock:
            pause = self._loads.back_off * 2**self._auto_resumes
            due = time.monotonic() - self._paused_at > pause
            if self.state is State.PAUSED and self._code not in _STICKY and due:
                self._auto_resumes += 1
                self._need_schedule()

    def _need_schedule(self) -> None:
        self.state, self._paused = State.NEED_SCHEDULE, ""
        self._window = [0, 0]
        self._epoch += 1

    def _schedule(self) -> None:
        """Find the partitions and where to begin, and start to run."""
        epoch = self._epoch
        try:
            consumer = self._connect()
            topic = self.definition.kafka["kafka_topic"]
            partitions = sorted(self.progress) if self.pinned else _partitions(consumer, topic)
            offsets = {p: self._real(consumer, p) for p in partitions}
        except KafkaException as error:
            self._abort(epoch, 4, f"{error} may be Kafka properties set in job is error")
            return
        with self.lock:
            if epoch == self._epoch:
                self.progress |= offsets
                self.partitions = partitions
                self.state = State.RUNNING
                consumer.assign([TopicPartition(topic, p, offsets[p]) for p in partitions])

    def _connect(self) -> Consumer:
        self._close()
        kafka = self.definition.kafka
        files = self._loads.files
        given = {
            name[9:]: str(files[value[5:]]) if value.startswith("FILE:") else value
            for name, value in kafka.items()
            if name.startswith("property.")
        }
        self._down = False
        self._consumer = Consumer(
            {
                **given,
                "bootstrap.servers": kafka["kafka_broker_list"],
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 10,
                "error_cb": self._failed,
                "logger": _QUIET,
            }
        )
        return self._consumer

    def _failed(self, error: KafkaError) -> None:
        self._down = self._down or error.code() == KafkaError._ALL_BROKERS_DOWN

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _real(self, consumer: Consumer, partition: int) -> int:
        topic = self.definition.kafka["kafka_topic"]
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=2)
        self.latest[partition] = high
        offset = self.progress.get(partition, self.default)
        return {BEGINNING: low, END: high}.get(offset, offset)

    def _task(self) -> None:
        epoch, progress = self._epoch, dict(self.progress)
        try:
            values = self._batch(progress)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError._AUTO_OFFSET_RESET:
                told = "Offset out of range the offset used by job does not exist in kafka"
                self._abort(epoch, 105, f"be 10001 abort task, with reason: {told}")
            else:
                self._abort(epoch, 104, f"be 10001 abort task with reason: {error}")
            return
        if values:
            self._commit(epoch, values, progress)

    def _batch(self, progress: dict[int, int]) -> list[bytes]:
        """Values up to the limits of a batch; moves ``progress``."""
        options = self.definition.properties
        assert self._consumer is not None
        until = time.monotonic() + int(options["max_batch_interval"]) * self._loads.second
        rows, size = int(options["max_batch_rows"]), int(options["max_batch_size"])
        rows = min(rows, self._loads.batch_rows)
        values: list[bytes] = []
        held = 0
        while (left := until - time.monotonic()) > 0 and len(values) < rows and held < size:
            for message in self._consumer.consume(min(500, rows - len(values)), min(left, 0.02)):
                if message.error():
                    raise KafkaException(message.error())
                values.append(message.value() or b"")
                held += len(values[-1])
                progress[message.partition()] = message.offset() + 1
            if self._down:
                raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return values

    def _commit(self, epoch: int, values: list[bytes], progress: dict[int, int]) -> None:
        loader = self._loads.loader(self.definition)
        loaded = loader.read(values)
        with self.lock:
            if epoch != self._epoch:
                return  # it was paused: the task's transaction is aborted
            if loaded.refused:
                backend = self._loads.cluster.next_backend()
                if backend is not None:
                    self._urls.append(self._loads.cluster.write_error_log(backend, loaded.refused))
            errors = self._window[0] + len(loaded.refused)
            pauses = errors > int(self.definition.properties["max_error_number"])
            if not (pauses and self._loads.rereads):
                loader.write(loaded.rows)
                self.progress = progress
                for partition, offset in progress.items():
                    self.latest[partition] = max(self.latest.get(partition, 0), offset)
                self.statistic["totalRows"] += len(values)
                self.statistic["loadedRows"] += len(loaded.rows)
                self.statistic["receivedBytes"] += sum(map(len, values))
                self.statistic["committedTaskNum"] += 1
            self.statistic["errorRows"] += len(loaded.refused)
            self.statistic["errorRowsAfterResumed"] = errors
            self._window = [errors, self._window[1] + len(values)]
            if pauses:
                told = (
                    "current error rows is more than max_error_number "
                    "or the max_filter_ratio is more than the value set"
                )
                self.pause(102, told)
            elif self._window[1] > _WINDOW * int(self.definition.properties["max_batch_rows"]):
                self._window = [0, 0]

    def _abort(self, epoch: int, code: int, message: str) -> None:
        with self.lock:
            self.statistic["abortedTaskNum"] += 1
            if epoch == self._epoch:
                self.pause(code, message)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    held = consumer.list_topics(topic, timeout=2).topics[topic]
    if held.error:
        raise KafkaException(held.error)
    return sorted(held.partitions)


def _now() -> str:
    return datetime.now(UTC).isoformat(" ", timespec="seconds")[:19]
