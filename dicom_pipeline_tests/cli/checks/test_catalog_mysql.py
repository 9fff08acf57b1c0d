"""A catalog in MariaDB, as the doctor sees it."""

import time

import pytest
from sqlalchemy import make_url

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.checks.bounds import bounded
from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline.cli.checks.doctor import SYSTEMS, run_doctor
from dicom_pipeline.cli.checks.mysql import MIGRATE, RUN, rights_on
from dicom_pipeline_tests.cli.checks.looking import found, settings_in
from dicom_pipeline_tests.services.mariadb import PASSWORD, USER, running_mariadb

SYSTEM = "catalog"


@pytest.fixture
def chosen(tmp_path, mariadb_url):
    settings = settings_in(tmp_path, catalog_url=mariadb_url)
    with open_catalog(settings) as catalog:
        catalog.migrate()
    return settings


@pytest.mark.service
def test_a_migrated_database_is_all_right(chosen):
    done = found(chosen, SYSTEM)
    assert {"reachable", "version", "rights", "clock", "schema", "drift"} <= set(done)
    assert [one for one in done.values() if one.verdict is not Verdict.OK] == []
    assert "MariaDB 10" in done["version"].found


@pytest.mark.service
def test_a_database_without_tables_says_to_migrate_and_gets_none(tmp_path, mariadb, mariadb_url):
    settings = settings_in(tmp_path, catalog_url=mariadb_url)
    schema = found(settings, SYSTEM)["schema"]
    assert schema.verdict is Verdict.FAIL
    assert "migrate" in schema.remedy
    with mariadb.admin() as cursor:
        cursor.execute(f"SHOW TABLES IN {make_url(mariadb_url).database}")
        assert cursor.fetchall() == ()


@pytest.mark.service
def test_a_table_that_was_altered_by_hand_is_a_warning_that_names_it(chosen, mariadb):
    with mariadb.admin() as cursor:
        database = make_url(chosen.catalog_url).database
        cursor.execute(f"ALTER TABLE {database}.rendition ADD COLUMN note INT")
    drift = found(chosen, SYSTEM)["drift"]
    assert drift.verdict is Verdict.WARN
    assert "note" in drift.found


@pytest.mark.service
def test_a_user_who_may_only_read_fails_and_one_who_may_not_migrate_is_warned(chosen, mariadb):
    url = make_url(chosen.catalog_url)
    expected = {"SELECT": Verdict.FAIL, "SELECT, INSERT, UPDATE, DELETE": Verdict.WARN}
    for number, (rights, verdict) in enumerate(expected.items()):
        user = f"reader{number}"
        with mariadb.admin() as cursor:
            cursor.execute(f"CREATE USER {user}@127.0.0.1 IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT {rights} ON {url.database}.* TO {user}@127.0.0.1")
        theirs = url.set(username=user).render_as_string(hide_password=False)
        settings = chosen.model_copy(update={"catalog_url": theirs})
        done = found(settings, SYSTEM)["rights"]
        assert done.verdict is verdict
        assert "GRANT" in done.remedy
        with mariadb.admin() as cursor:
            cursor.execute(f"DROP USER {user}@127.0.0.1")


@pytest.mark.service
def test_a_wrong_password_fails_and_is_not_shown(chosen, capsys):
    url = make_url(chosen.catalog_url).set(password="wrong-s3cret")
    settings = chosen.model_copy(update={"catalog_url": url.render_as_string(hide_password=False)})
    done = list(bounded(SYSTEM, SYSTEMS[SYSTEM], settings))
    assert done[-1].verdict is Verdict.FAIL
    assert "wrong-s3cret" not in str(done)


@pytest.mark.service
def test_the_password_is_nowhere_in_the_output(chosen, capsys):
    run_doctor(chosen, as_json=True)
    shown = capsys.readouterr().out
    assert PASSWORD not in shown
    assert PASSWORD.replace("/", "%2F").replace("@", "%40") not in shown


@pytest.mark.service
def test_a_dead_or_a_frozen_server_fails_within_seconds(tmp_path):
    with running_mariadb() as server, server.fresh_database() as url:
        settings = settings_in(tmp_path, catalog_url=url)
        with server.frozen():
            (accepted, frozen) = bounded(SYSTEM, SYSTEMS[SYSTEM], settings, seconds=2)
        assert (accepted.verdict, frozen.verdict) == (Verdict.OK, Verdict.FAIL)
        server.kill()
        started = time.monotonic()
        (dead,) = bounded(SYSTEM, SYSTEMS[SYSTEM], settings)
        assert dead.verdict is Verdict.FAIL
        assert "CATALOG_URL" in dead.remedy
        assert time.monotonic() - started < 5


@pytest.mark.service
def test_a_server_without_room_for_a_batch_or_that_may_lose_rows_is_warned_of(tmp_path):
    options = ("--innodb-flush-log-at-trx-commit=2", "--max-allowed-packet=1M")
    with running_mariadb(*options) as server, server.fresh_database() as url:
        done = list(SYSTEMS[SYSTEM](settings_in(tmp_path, catalog_url=url)))
    warnings = [one.found for one in done if one.name == "settings"]
    assert len(warnings) == 2


def test_a_wrong_url_fails_and_does_not_repeat_it(tmp_path):
    done = found(settings_in(tmp_path, catalog_url="teapot://u:s3cret@host/db"), SYSTEM)
    assert done["configuration"].verdict is Verdict.FAIL
    assert "s3cret" not in str(done)


@pytest.mark.parametrize(
    ("scope", "covers"),
    [
        ("*.*", True),
        ("`images`.*", True),
        ("`im%`.*", True),
        ("`image_`.*", True),
        ("`images\\_a`.*", False),
        ("`image\\_`.*", False),
        ("`images`.`rendition`", False),
        ("`other`.*", False),
    ],
)
def test_rights_count_where_they_are_granted(scope, covers):
    grants = [f"GRANT USAGE ON *.* TO `{USER}`@`%`", f"GRANT SELECT, INSERT ON {scope} TO `u`@`%`"]
    assert rights_on("images", grants) == frozenset(
        {"USAGE", "SELECT", "INSERT"} if covers else {"USAGE"}
    )


def test_all_privileges_are_all_that_is_needed():
    grants = ["GRANT ALL PRIVILEGES ON `images`.* TO `u`@`%` WITH GRANT OPTION"]
    assert rights_on("images", grants) >= RUN | MIGRATE
