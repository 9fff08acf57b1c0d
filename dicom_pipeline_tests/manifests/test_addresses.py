"""Where things are found over HTTP."""

import pytest

from dicom_pipeline.catalog import Study
from dicom_pipeline.manifests.addresses import address, study_url, viewer_base
from dicom_pipeline.settings import Settings


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:3001"),
        ("0.0.0.0", "http://127.0.0.1:3001"),
        ("::", "http://[::1]:3001"),
        ("::1", "http://[::1]:3001"),
        ("archive", "http://archive:3001"),
    ],
)
def test_the_viewer_is_found_where_the_file_server_listens(host, base):
    assert viewer_base(Settings(_env_file=None, viewer_host=host)) == base


def test_the_public_url_comes_before_the_file_servers():
    settings = Settings(_env_file=None, public_url="https://pacs.example/a/")
    assert viewer_base(settings) == "https://pacs.example/a"
    assert study_url(settings, Study("north", "1.2")) == (
        "https://pacs.example/a/viewer/?tenant=north&study=1.2"
    )


def test_the_path_of_a_file_is_quoted_and_its_version_readable():
    url_of = address(Settings(_env_file=None))
    assert url_of("/objects/a/1.2~17.dcm") == "/objects/a/1.2~17.dcm"
    assert url_of("/objects/a b?#.dcm") == "/objects/a%20b%3F%23.dcm"


@pytest.mark.parametrize(
    "url", ["pacs.example", "ftp://pacs", "https://", "https://a/?b", "http://a#b"]
)
def test_a_public_url_is_a_base(url):
    with pytest.raises(ValueError, match="public_url"):
        Settings(_env_file=None, public_url=url)
