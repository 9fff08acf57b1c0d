"""The script that keeps users: passwords are shown once, kept as hashes, and counted at once."""

import re
import stat

import pytest

from dicom_pipeline_tests.nginx.asking import by
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.services.nginx import PASSWORD

pytestmark = pytest.mark.service

NORTH = "/manifests/north/studies.json"
SOUTH = "/manifests/south/studies.json"


def status(nginx, path, user, password=PASSWORD):
    return nginx.ask(path, **by(user, password)).status


def test_a_new_user_gets_a_random_password_that_works_at_once(nginx):
    done = nginx.run("users", "add", "north", "new")
    password = re.fullmatch(r"password of new: (\S{32})\n", done.stdout)[1]
    wait_until(lambda: status(nginx, NORTH, "new", password) == 200)
    assert status(nginx, SOUTH, "new", password) == 403
    assert password not in (nginx.users / "passwords").read_text()


def test_a_removed_user_is_out_at_once(nginx):
    nginx.add_user("north", "gone")
    wait_until(lambda: status(nginx, NORTH, "gone") == 200)
    assert nginx.run("users", "remove", "gone").returncode == 0
    assert status(nginx, NORTH, "gone") == 401
    assert "gone" not in nginx.run("users", "list").stdout


def test_one_user_may_have_several_tenants(nginx):
    nginx.add_user("north", "both")
    done = nginx.run("users", "add", "south", "both")
    assert done.stdout == "both keeps the password\n"
    wait_until(lambda: status(nginx, SOUTH, "both") == status(nginx, NORTH, "both") == 200)
    nginx.run("users", "remove", "both")


def test_a_password_can_be_changed(nginx):
    nginx.add_user("north", "forgetful")
    done = nginx.run("users", "password", "forgetful")
    new = done.stdout.split()[-1]
    assert status(nginx, NORTH, "forgetful") == 401
    wait_until(lambda: status(nginx, NORTH, "forgetful", new) == 200)


def test_the_list_tells_who_may_see_what(nginx):
    lines = nginx.run("users", "list").stdout.splitlines()
    assert {"alice\ttenant north", "bob\ttenant south", "olga\toperator"} <= set(lines)


def test_only_nginx_may_read_the_files(nginx):
    for name in ("passwords", "grants"):
        assert stat.S_IMODE((nginx.users / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "typed", "reason"),
    [
        (("add", "incoming", "x"), "", "tenant 'incoming' is none"),
        (("add", "../north", "x"), "", "is none"),
        (("add", "north", "Alice"), "", "lower-case"),
        (("add", "north", "a:b"), "", "lower-case"),
        (("add", "north", 'x" 1;\n"south/x'), "", "lower-case"),
        (("add", "north", "short", "--ask"), "short", "at least 12 characters"),
        (("add", "north", "alice", "--ask"), PASSWORD, "has a password already"),
        (("password", "stranger"), "", "no user 'stranger'"),
        (("remove", "stranger"), "", "no user 'stranger'"),
        (("add",), "", "usage"),
        ((), "", "usage"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(nginx, arguments, typed, reason):
    before = [(nginx.users / name).read_bytes() for name in ("passwords", "grants")]
    done = nginx.run("users", *arguments, typed=typed)
    assert done.returncode == 2
    assert reason in done.stderr
    assert [(nginx.users / name).read_bytes() for name in ("passwords", "grants")] == before
