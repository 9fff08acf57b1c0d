"""WAREHOUSE_URL: what it may say, and that its password never leaves it."""

import re
from pathlib import Path

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline.warehouse.doris.options import OPTIONS, Address, parse_options

DOCS = Path(__file__).parents[2] / "docs" / "doris.md"


def test_several_frontends_a_quoted_password_and_the_defaults():
    options = parse_options(
        "doris://pipe%40line:s3cret%2F%40:x@fe1,fe2:9031,[fd00::1]:9032/imaging"
    )
    assert options.frontends == (
        Address("fe1", 9030),
        Address("fe2", 9031),
        Address("fd00::1", 9032),
    )
    assert (options.user, options.password) == ("pipe@line", "s3cret/@:x")
    assert (options.database, options.http_port, options.replicas) == ("imaging", 8030, 3)
    assert str(options) == "warehouse doris://fe1:9030,fe2:9031,[fd00::1]:9032/imaging"
    assert "s3cret" not in f"{options} {options!r}"


def test_every_option_is_read(tmp_path):
    authority = tmp_path / "ca.pem"
    authority.touch()
    options = parse_options(
        "doris://u:p@fe/db?http_port=8040&https=true&mysql_tls=true&trusted_hosts=be1,be2"
        f"&tls_ca={authority}&connect_seconds=1.5&query_seconds=2&load_seconds=3"
        "&batch_bytes=65536&json_bytes=4194304&generation=2b&replicas=1&buckets=16&retention_days=365"
    )
    assert options.https
    assert options.mysql_tls
    assert options.tls_ca == authority
    assert options.trusted_hosts == {"be1", "be2"}
    assert (options.http_port, options.connect_seconds, options.query_seconds) == (8040, 1.5, 2)
    assert (options.load_seconds, options.batch_bytes, options.json_bytes) == (3, 65536, 4194304)
    assert options.generation == "2b"
    assert (options.replicas, options.buckets, options.retention_days) == (1, 16, 365)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:s3cret@fe/db", "scheme"),
        ("u:s3cret@fe/db", "scheme is ''"),
        ("doris://u:s3cret@[fd00::1/db", "no host:port"),
        ("doris://fe:9030/db", "no user"),
        ("doris://u:s3cret@fe", "no name of a database"),
        ("doris://u:s3cret@fe/a-b", "no name of a database"),
        ("doris://u:s3cret@fe:port/db", "no host:port"),
        ("doris://u:s3cret@/db", "no host:port"),
        ("doris://u:s3cret@fe/db?colour=red", "no option 'colour'; there are http_port,"),
        ("doris://u:s3cret@fe/db?https=yes", "https: say true or false"),
        ("doris://u:s3cret@fe/db?replicas=0", "replicas: say a whole number from 1 to 16"),
        ("doris://u:s3cret@fe/db?replicas=٣", "replicas: say a whole number"),
        ("doris://u:s3cret@fe/db?load_seconds=soon", "load_seconds: say a number of seconds"),
        ("doris://u:s3cret@fe/db?load_seconds=nan", "load_seconds: say a number of seconds"),
        ("doris://u:s3cret@fe/db?retention_days=9999", "retention_days: say a whole number"),
        ("doris://u:s3cret@fe/db?generation=a/b", "generation: say at most 16 letters"),
        ("doris://u:s3cret@fe/db?tls_ca=/nowhere.pem", "tls_ca: there is no file /nowhere.pem"),
    ],
)
def test_a_wrong_url_is_told_by_what_is_wrong_and_without_its_password(url, said):
    with pytest.raises(ConfigurationError, match="WAREHOUSE_URL") as refusal:
        parse_options(url)
    assert said in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_the_url_chooses_the_warehouse(tmp_path):
    def chosen(url):
        settings = Settings(dicom_pipeline_home=tmp_path, warehouse_url=url, _env_file=None)
        with open_warehouse(settings) as warehouse:
            return type(warehouse).__name__

    assert chosen("") == "SqliteWarehouse"
    assert chosen("doris://u:p@fe:9030/db") == "DorisWarehouse"
    with pytest.raises(ConfigurationError) as refusal:
        chosen("postgresql://u:s3cret@host/db")
    assert "s3cret" not in str(refusal.value)


def test_every_option_is_documented_and_no_other():
    page = DOCS.read_text(encoding="utf-8").split("## Options of the URL")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == list(OPTIONS)
