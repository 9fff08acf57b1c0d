"""The page of studies as its tests see and use it."""

from collections.abc import Callable
from urllib.parse import urlencode

import imagecodecs
import numpy as np
from playwright.sync_api import Page, expect

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
POLL_MS = 50


class ViewerPage:
    """One tab."""

    def __init__(self, page: Page, site: str) -> None:
        self.page = page
        self.site = site
        self.faults: list[str] = []
        """Errors of scripts, and breaches of the content security policy."""
        self.strangers: set[str] = set()
        """Addresses of other servers that were asked."""
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._heard)
        page.on("request", self._asked)

    def _heard(self, said) -> None:
        if "Content Security Policy" in said.text:
            self.faults.append(said.text)

    def _asked(self, request) -> None:
        if not request.url.startswith((self.site, "blob:", "data:")):
            self.strangers.add(request.url)

    def open(self, query="", **parts) -> None:
        """Go to an address of the page: ``query`` as it stands, or made of its parts."""
        self.page.goto(f"{self.site}/viewer/{query or (parts and '?' + urlencode(parts)) or ''}")

    @property
    def stage(self):
        """The place of the image."""
        return self.page.locator(".stage")

    def wait_for(self, state: str, uid: str | None = None, frame: int | None = None) -> None:
        """Wait until the stage is in a state, for an object and frame."""
        expect(self.stage).to_have_attribute("data-state", state, timeout=PATIENCE_MS)
        if uid is not None:
            expect(self.stage).to_have_attribute("data-uid", uid, timeout=PATIENCE_MS)
        if frame is not None:
            expect(self.stage).to_have_attribute("data-frame", str(frame), timeout=PATIENCE_MS)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what no locator tells; the page's policy lets no code of a test be evaluated."""
        for _ in range(PATIENCE_MS // POLL_MS):
            if holds():
                return
            self.page.wait_for_timeout(POLL_MS)
        raise AssertionError("it never held")

    def pixels(self) -> np.ndarray:
        """What is seen in the middle of the stage: ``(rows, columns, 3)``, 8 bits."""
        box = self.stage.bounding_box()
        assert box is not None
        clip = {
            "x": box["x"] + box["width"] / 2 - 150,
            "y": box["y"] + box["height"] / 2 - 100,
            "width": 300,
            "height": 200,
        }
        return imagecodecs.png_decode(self.page.screenshot(clip=clip))[..., :3]

    def seen(self) -> tuple[int, int]:
        """The greys left and right of the middle of the stage."""
        pixels = self.pixels().astype(int)
        left, right = pixels[100, 60], pixels[100, 240]
        assert np.ptp(left) == np.ptp(right) == 0, "not grey"
        return int(left[0]), int(right[0])
