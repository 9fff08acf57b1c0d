import pytest

from dicom_pipeline_tests.manifests.home import Home


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    with home.catalog:
        yield home
