import pytest

from dicom_pipeline_tests.receiver.commitment.stored import Stored


@pytest.fixture
def stored(tmp_path):
    return Stored(tmp_path)
