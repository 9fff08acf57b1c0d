"""Who asks: the header with which a user says who they are."""

from base64 import b64encode

from dicom_pipeline_tests.services.nginx import PASSWORD


def by(user, password=PASSWORD):
    """The header of a request by ``user``; None: by nobody."""
    if user is None:
        return {}
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}
