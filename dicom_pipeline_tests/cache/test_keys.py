"""No two things share a key, and a key tells nothing of a patient."""

from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline.cache.keys import Keys

texts = st.text(st.characters(codec=None), max_size=200)
series = st.tuples(texts, texts, texts)

SERIES = ("tenant_id", "study_uid", "series_uid")
PATIENT = ("tenant_id", "patient_id")


def test_a_key_can_be_read():
    keys = Keys("dicom-pipeline", "0123456789abcdef")
    assert keys.row("series", SERIES, ("north", "1.2", "1.3")) == (
        "dicom-pipeline:1:0123456789abcdef:north:row:series:1.2:1.3"
    )
    assert keys.study_token("north", "1.2") == (
        "dicom-pipeline:1:0123456789abcdef:north:study:1.2:token"
    )


@given(one=series, other=series)
def test_two_series_have_two_keys(one, other):
    keys = Keys("p", "d")
    same = keys.row("series", SERIES, one) == keys.row("series", SERIES, other)
    assert same == (one == other)


@given(values=series)
def test_a_key_is_short_and_of_plain_characters(values):
    key = Keys("p", "d").row("series", SERIES, values)
    assert len(key) < 450
    assert key.isascii()
    assert key.isprintable()
    assert " " not in key


def test_a_patient_id_stands_in_no_key():
    key = Keys("p", "d").row("patient", PATIENT, ("north", "4711-ZHANG"))
    assert "4711" not in key
    assert "ZHANG" not in key


def test_databases_prefixes_tables_and_tenants_are_apart():
    keys = {
        Keys(prefix, database).row(table, ("tenant_id", "study_uid"), (tenant, "1.2"))
        for prefix in ("p", "q")
        for database in ("d", "e")
        for table in ("study", "dicom_study")
        for tenant in ("north", "south")
    }
    assert len(keys) == 16


def test_a_tenant_of_any_name_is_not_taken_for_all_tenants():
    keys = Keys("p", "d")
    assert keys.study_token("*", "1.2") != keys.study_token("%2A", "1.2")
