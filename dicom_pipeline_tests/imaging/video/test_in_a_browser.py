"""Chromium plays the files: by byte ranges, and after each seek with the frame of that time."""

import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import sync_playwright

from dicom_pipeline.file_server.application import application
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.imaging.video.clips import (
    COLUMNS,
    FRAMES,
    RATE,
    ROWS,
    grey,
    object_of,
)

pytestmark = pytest.mark.service

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("h264-stream", "h264-transport-stream", "mpeg2-stream-of-fields", "hevc-10-bit")

SHOW = """async ([url, rate, frames]) => {
  const settled = (target, event) => new Promise((done, failed) => {
    target.addEventListener(event, done, {once: true});
    setTimeout(() => failed(new Error(`no ${event} of ${url} within 10 s`)), 10_000);
  });
  const video = document.body.appendChild(document.createElement('video'));
  const loaded = settled(video, 'loadeddata');
  video.src = url;
  await loaded;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const greys = [];
  for (const frame of frames) {
    const sought = settled(video, 'seeked');
    // A busy machine may tell that it has sought before the picture is there.
    const presented = new Promise((done) => {
      video.requestVideoFrameCallback(done);
      setTimeout(done, 1_000);
    });
    video.currentTime = (frame + 0.5) / rate;
    await sought;
    await presented;
    context.drawImage(video, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    greys.push(data.reduce((sum, value, at) => (at % 4 ? sum : sum + value), 0) * 4 / data.length);
  }
  return {greys, size: [canvas.width, canvas.height], seconds: video.duration};
}"""


@contextmanager
def serving(settings):
    """The address of the file server."""
    config = uvicorn.Config(application(settings), port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        for _ in range(200):
            if server.started:
                break
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def test_each_frame_is_shown_when_it_is_sought(tmp_path):
    settings = Settings(dicom_pipeline_home=tmp_path / "home")
    for name in NAMES:
        outcome = render(
            object_of(tmp_path / "object.dcm", name), settings.renditions / "default" / name
        )
        assert outcome.error is None
    # Forwards, backwards and across pictures from which decoding can begin.
    frames = [*range(0, FRAMES, 5), *range(FRAMES - 1, 0, -7), 17, 18, 0]

    with serving(settings) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        page = browser.new_page()
        statuses = []
        page.on("response", lambda response: statuses.append(response.status))
        shown = {}
        page.route("**/page.html", lambda route: route.fulfill(body="<!doctype html><body>"))
        page.goto(f"{address}/page.html")
        for name in NAMES:
            url = f"{address}/renditions/default/{name}.mp4"
            shown[name] = page.evaluate(SHOW, [url, RATE, frames])
        browser.close()

    for name, one in shown.items():
        assert one["size"] == [COLUMNS, ROWS], name
        assert one["seconds"] == pytest.approx(FRAMES / RATE, abs=0.03), name
        luma = [grey * 219 / 255 + 16 for grey in one["greys"]]
        assert [round((value - grey(0)) / 5) for value in luma] == frames, name
    assert set(statuses) <= {200, 206}
    assert 206 in statuses
