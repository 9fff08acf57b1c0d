import json

from dicom_pipeline.cli import checks as checks_module
from dicom_pipeline.cli.checks import Verdict, checks, run_doctor
from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.migrations import Migration, load_migrations
from dicom_pipeline.settings import Settings


def found(settings: Settings) -> dict[str, checks_module.Check]:
    return {one.name: one for one in checks(settings)}


def settings(tmp_path, **changes) -> Settings:
    return Settings(dicom_pipeline_home=tmp_path / "home", receiver_port=0, ui_port=0, **changes)


def test_a_fresh_machine_has_nothing_to_mend(tmp_path):
    bad = [one for one in checks(settings(tmp_path)) if one.verdict is Verdict.FAIL]
    assert bad == []
    assert not (tmp_path / "home").exists()


def test_a_migrated_home_is_reachable(tmp_path):
    chosen = settings(tmp_path)
    list(migrate(chosen))
    done = found(chosen)
    assert done["catalog"].verdict is Verdict.OK
    assert done["warehouse"].verdict is Verdict.OK
    assert done["event log"].found.startswith("5 queues")


def test_a_home_without_tables_says_to_migrate(tmp_path):
    chosen = settings(tmp_path)
    chosen.home.mkdir()
    done = found(chosen)
    assert done["catalog"].verdict is Verdict.FAIL
    assert "migrate" in done["catalog"].remedy


def test_a_pending_migration_is_a_warning_that_names_it(tmp_path, monkeypatch):
    chosen = settings(tmp_path)
    list(migrate(chosen))
    known = load_migrations("sqlite", "catalog")
    coming = Migration(len(known) + 1, "9999_coming.sql", "SELECT 1;")
    monkeypatch.setattr(checks_module, "load_migrations", lambda *_: [*known, coming])
    done = found(chosen)["catalog"]
    assert done.verdict is Verdict.WARN
    assert "9999_coming.sql" in done.found


def test_a_wrong_peers_file_fails_with_the_reason(tmp_path):
    peers = tmp_path / "peers.toml"
    peers.write_text("[[peer]]\ntenant = 'No Good'\n")
    done = found(settings(tmp_path, peers_file=peers))["peers file"]
    assert done.verdict is Verdict.FAIL
    assert "No Good" in done.found


def test_too_little_space_fails(tmp_path):
    done = found(settings(tmp_path, receiver_min_free_bytes=1 << 60))["disk"]
    assert done.verdict is Verdict.FAIL
    assert done.remedy


def test_a_missing_codec_fails_and_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(checks_module, "CODECS", {"no_such_module": "no-such-package"})
    done = found(settings(tmp_path))["no-such-package"]
    assert done.verdict is Verdict.FAIL
    assert done.remedy == "pip install no-such-package"


def test_a_failed_check_is_the_exit_code_and_warnings_are_not(tmp_path, capsys):
    assert run_doctor(settings(tmp_path), as_json=True) == 0
    names = {one["name"] for one in json.loads(capsys.readouterr().out)}
    assert {"python", "disk", "peers file", "DCMTK storescu"} <= names
    bad = settings(tmp_path, receiver_min_free_bytes=1 << 60)
    assert run_doctor(bad, as_json=False) == 1
