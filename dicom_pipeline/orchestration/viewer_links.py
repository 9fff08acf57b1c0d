"""Links from Dagster's UI to the viewer: UIDs only, and few of them."""

from collections.abc import Collection
from itertools import islice
from typing import Final

import dagster as dg

from dicom_pipeline.catalog import Study
from dicom_pipeline.manifests.addresses import study_url, viewer_url
from dicom_pipeline.settings import Settings

LINKS: Final = 20
"""Studies that are linked one by one."""


def viewer_links(settings: Settings, studies: Collection[Study]) -> dict[str, dg.MetadataValue]:
    """The page of the study, or of several the list of the first one's tenant and their own pages.

    ``studies``: in the order to be shown; those beyond `LINKS` are left out.
    """
    if not studies:
        return {}
    first, *others = islice(studies, LINKS)
    if not others:
        return {"viewer": dg.MetadataValue.url(study_url(settings, first))}
    named = "\n".join(
        f"- [{study.study_uid}]({study_url(settings, study)})" for study in (first, *others)
    )
    return {
        "viewer": dg.MetadataValue.url(viewer_url(settings, first.tenant_id)),
        "viewer_studies": dg.MetadataValue.md(named),
    }
