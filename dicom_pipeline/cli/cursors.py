"""The cursors of the sensors in a Dagster instance: each holds the ledger of one queue."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES
from dicom_pipeline.streams import Ledger, decode

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from dagster._core.scheduler.instigation import InstigatorState

_SENSORS: Final = frozenset(stage.sensor_name for stage in STAGES)


def read_ledgers(settings: Settings) -> dict[str, Ledger]:
    """The ledger of each sensor that has ticked, from the cursors of the Dagster instance."""
    if not (settings.dagster_home / "dagster.yaml").exists():
        return {}
    from dagster import DagsterInstance  # noqa: PLC0415 - two seconds, and only needed here

    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        return {
            state.instigator_name: decode(cursor) for state, cursor in _states_with_cursor(instance)
        }


def empty_cursors(settings: Settings) -> None:
    """Let the sensors plan anew all that their queues hold, as new runs."""
    if not (settings.dagster_home / "dagster.yaml").exists():
        return
    from dagster import DagsterInstance  # noqa: PLC0415 - two seconds, and only needed here
    from dagster._core.scheduler.instigation import SensorInstigatorData  # noqa: PLC0415

    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        for state, _ in list(_states_with_cursor(instance)):
            data = state.instigator_data
            if isinstance(data, SensorInstigatorData):
                emptied = data._replace(cursor=None)
                instance.update_instigator_state(state.with_data(emptied))


def _states_with_cursor(instance: "DagsterInstance") -> Iterator[tuple["InstigatorState", str]]:
    for state in instance.all_instigator_state():
        cursor = getattr(state.instigator_data, "cursor", None)
        if cursor and state.instigator_name in _SENSORS:
            yield state, cursor
