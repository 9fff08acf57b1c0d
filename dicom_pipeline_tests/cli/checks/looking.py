"""What the doctor finds, by system and check."""

from dicom_pipeline.cli.checks.check import Check, Verdict
from dicom_pipeline.cli.checks.doctor import SYSTEMS, checks
from dicom_pipeline.settings import Settings


def settings_in(tmp_path, **changes) -> Settings:
    return Settings(dicom_pipeline_home=tmp_path / "home", receiver_port=0, ui_port=0, **changes)


def found(settings: Settings, system: str) -> dict[str, Check]:
    """The checks of one system by their names."""
    return {one.name: one for one in SYSTEMS[system](settings)}


def bad(settings: Settings) -> list[Check]:
    """Everything that failed."""
    return [one for one in checks(settings) if one.verdict is Verdict.FAIL]


def files_in(folder) -> dict[str, int]:
    """Every file with the time of its last change (ns)."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}
