"""Whether other machines can reach the file server, which knows no passwords."""

import ipaddress
from contextlib import suppress

from dicom_pipeline.settings import Settings


def exposed(settings: Settings) -> str:
    """What is wrong with listening for other machines; empty on loopback."""
    host = settings.viewer_host
    if host == "localhost":
        return ""
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return ""
    return (
        f"VIEWER_HOST={host}: the file server knows no passwords, so everybody who reaches it can "
        "see every patient's images: keep it on 127.0.0.1 and let Nginx serve other machines"
    )
