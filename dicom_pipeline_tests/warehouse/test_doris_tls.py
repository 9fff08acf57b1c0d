"""Stream Load over HTTPS: verified, and never redirected into the clear."""

import ssl

import pytest
import trustme

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.warehouse import IMAGE
from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.warehouse.clusters import fresh_warehouse
from dicom_pipeline_tests.warehouse.samples import row_of

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return authority, path


@pytest.fixture(scope="module")
def cluster(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority[0].issue_cert("127.0.0.1", "127.0.1.1").configure_cert(context)
    with DorisDouble(tls=context) as double:
        yield double


def test_loads_go_over_verified_https(cluster, authority):
    with fresh_warehouse(cluster, https="true", tls_ca=authority[1]) as warehouse:
        warehouse.load(IMAGE, [row_of(IMAGE)], "label")
        assert warehouse.query(f"SELECT COUNT(*) AS n FROM {IMAGE}") == [{"n": 1}]


def test_a_certificate_of_an_unknown_authority_is_told_with_the_remedy(cluster):
    with (
        fresh_warehouse(cluster, https="true") as warehouse,
        pytest.raises(ConfigurationError, match="set tls_ca"),
    ):
        warehouse.load(IMAGE, [row_of(IMAGE)], "label")


def test_a_redirect_into_the_clear_is_not_followed(cluster, authority, monkeypatch):
    monkeypatch.setattr(type(cluster), "scheme", "http")
    with fresh_warehouse(cluster, https="true", tls_ca=authority[1]) as warehouse:
        cluster.asked.clear()
        with pytest.raises(ConfigurationError, match="in the clear"):
            warehouse.load(IMAGE, [row_of(IMAGE)], "label")
        assert len(cluster.asked) == 1
