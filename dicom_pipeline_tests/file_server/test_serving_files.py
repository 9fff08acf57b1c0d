"""What is served, how, and to whom."""

import logging
import os
import socket

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.file_server.application import application
from dicom_pipeline.file_server.exposure import exposed
from dicom_pipeline.file_server.guard import host_name
from dicom_pipeline.file_server.serving import serve
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.file_server.asking import ask
from dicom_pipeline_tests.file_server.conftest import OBJECT


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        (f"/objects/{OBJECT}", "application/dicom", bytes(range(256)) * 4),
        (f"/renditions/{OBJECT}", "application/dicom", b"display copy"),
        ("/renditions/default/v.mp4", "video/mp4", b"video"),
        ("/manifests/default/studies.json", "application/json", b'{"studies":[]}'),
        ("/viewer/", "text/html; charset=utf-8", b"content of index.html"),
        ("/viewer/index.html", "text/html; charset=utf-8", b"content of index.html"),
        ("/viewer/main.js", "text/javascript; charset=utf-8", b"content of main.js"),
        ("/viewer/codecs/decoder.wasm", "application/wasm", b"content of codecs/decoder.wasm"),
    ],
)
def test_every_kind_of_file_has_its_type_and_bytes(page, settings, path, content_type, body):
    answer = ask(application(settings), path)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize(
    "path",
    [
        "/objects/",
        "/objects/default",
        "/objects/default/",
        "/objects/default/20260101",
        "/objects/incoming/node/secret.dcm",
        "/objects/default/../incoming/node/secret.dcm",
        "/objects/default/notes.txt",
        "/objects/plain.dcm",
        "/objects/../catalog.db",
        "/objects//default/20260101/1.2/1.3/1.4.dcm",
        "/objects/default/./20260101/1.2/1.3/1.4.dcm",
        "/manifests/default/.studies.json.partial",
        "/manifests/default/other.json",
        "/viewer/secret.py",
        "/viewer/codecs/",
        "/catalog.db",
        "/objects/default/1.dcm\x00",
        "/objects/default/" + "a" * 300 + ".dcm",
        "/objects/" + "a/" * 40 + "1.dcm",
    ],
)
def test_nothing_else_is_there(page, settings, path):
    assert ask(application(settings), path).status == 404


@pytest.mark.parametrize("path", ["/", "/viewer", "/?tenant=north&study=1.2"])
def test_the_root_leads_to_the_page_with_what_was_asked(served, path):
    answer = ask(served, path)
    query = path.partition("?")[2]
    assert answer.status == 307
    assert answer.headers["location"] == "/viewer/" + (f"?{query}" if query else "")


def test_a_page_that_is_not_built_says_how_to_build_it(served, settings, monkeypatch, page):
    (page / "index.html").unlink()
    answer = ask(application(settings), "/viewer/")
    assert answer.status == 503
    assert b"make viewer" in answer.body
    assert ask(served, f"/objects/{OBJECT}").status == 200


def test_a_part_of_a_file_can_be_asked_for(served):
    answer = ask(served, f"/objects/{OBJECT}", range="bytes=10-13")
    assert (answer.status, answer.body) == (206, bytes([10, 11, 12, 13]))
    assert answer.headers["content-range"] == "bytes 10-13/1024"
    assert ask(served, f"/objects/{OBJECT}", range="bytes=-4").body == bytes([252, 253, 254, 255])
    assert ask(served, f"/objects/{OBJECT}", range="bytes=5000-").status == 416


def test_a_range_of_another_version_gives_the_whole_file(served):
    answer = ask(served, f"/objects/{OBJECT}", range="bytes=10-13", if_range='"another"')
    assert (answer.status, len(answer.body)) == (200, 1024)


def test_head_tells_the_headers_only(served):
    answer = ask(served, f"/objects/{OBJECT}", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == "1024"
    assert answer.headers["accept-ranges"] == "bytes"


def test_who_has_the_file_already_is_told_so(served):
    first = ask(served, "/manifests/default/studies.json").headers
    for asked in (
        {"if_none_match": first["etag"]},
        {"if_none_match": f'"another", W/{first["etag"]}'},
        {"if_none_match": "*"},
        {"if_modified_since": first["last-modified"]},
    ):
        answer = ask(served, "/manifests/default/studies.json", **asked)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == first["etag"]
    for asked in (
        {"if_none_match": '"another"', "if_modified_since": first["last-modified"]},
        {"if_modified_since": "nonsense"},
    ):
        assert ask(served, "/manifests/default/studies.json", **asked).status == 200


def test_a_file_that_was_written_again_has_another_tag(served, settings):
    path = settings.manifests / "default" / "studies.json"
    first = ask(served, "/manifests/default/studies.json").headers["etag"]
    replacement = path.with_name("new")
    replacement.write_bytes(b'{"studies":{}}')
    os.utime(replacement, ns=(1, path.stat().st_mtime_ns + 1000))
    replacement.replace(path)
    assert ask(served, "/manifests/default/studies.json", if_none_match=first).status == 200


def test_only_originals_may_be_kept_without_asking(served, page, settings):
    def kept(path):
        return ask(application(settings), path).headers["cache-control"]

    assert "immutable" in kept(f"/objects/{OBJECT}")
    for path in (f"/renditions/{OBJECT}", "/manifests/default/studies.json", "/viewer/main.js"):
        assert kept(path) == "private, no-cache"
    assert kept("/objects/default/none.dcm") == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_files_are_read_and_nothing_else(served, method):
    answer = ask(served, f"/objects/{OBJECT}", method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3001", "", "127.0.0.1.evil.example"]
)
def test_a_name_that_is_not_ours_is_refused(served, host):
    answer = ask(served, f"/objects/{OBJECT}", host=host)
    assert answer.status == 421
    assert bytes([10, 11, 12]) not in answer.body


@pytest.mark.parametrize(
    "host", ["localhost:3001", "LOCALHOST", "127.0.0.1", "[::1]:3001", "[::1]"]
)
def test_this_machine_has_several_names(served, host):
    assert ask(served, f"/objects/{OBJECT}", host=host).status == 200


def test_the_public_name_is_known(settings):
    known = settings.model_copy(update={"public_url": "https://PACS.example:8443/a"})
    assert ask(application(known), f"/objects/{OBJECT}", host="pacs.example").status == 200


def test_a_host_is_read_without_its_port():
    told = {"a:1": "a", "a": "a", "[::1]:1": "::1", "[::1]": "::1", "A.B": "a.b", "": ""}
    assert {host: host_name(host) for host in told} == told


@pytest.mark.parametrize("path", [f"/objects/{OBJECT}", "/viewer/main.js", "/none"])
def test_every_answer_says_what_browsers_must_not_do(page, settings, path):
    headers = ask(application(settings), path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert ("wasm-unsafe-eval" in headers["content-security-policy"]) == path.startswith("/viewer")
    assert "server" not in headers


def test_the_access_log_tells_no_query_and_no_unknown_path(served, caplog):
    with caplog.at_level(logging.INFO, logger="dicom_pipeline.file_server.access"):
        ask(served, f"/objects/{OBJECT}?name=SECRET")
        ask(served, "/SECRET/file")
        ask(served, "/viewer/", host="SECRET.example")
        ask(served, "/", "SECRET")
    told = [vars(record) for record in caplog.records]
    assert [one["status"] for one in told] == [200, 404, 421, 405]
    assert told[0]["path"] == f"/objects/{OBJECT}"
    assert told[0]["bytes"] == 1024
    assert "SECRET" not in repr([{**one, "args": None} for one in told])


def test_a_file_that_may_not_be_read_is_unavailable_and_not_missing(served, settings, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "refused")

    monkeypatch.setattr(os, "open", refuse)
    assert ask(served, f"/objects/{OBJECT}").status == 503


def test_a_port_that_is_taken_is_told_with_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(_env_file=None, viewer_port=port)
        with pytest.raises(ConfigurationError, match=f"VIEWER_PORT={port}"):
            serve(settings)


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("127.0.0.1", False),
        ("localhost", False),
        ("::1", False),
        ("0.0.0.0", True),
        ("", True),
        ("10.0.0.1", True),
    ],
)
def test_listening_for_other_machines_is_warned_of(host, warned):
    settings = Settings(_env_file=None).model_copy(update={"viewer_host": host})
    assert bool(exposed(settings)) is warned
