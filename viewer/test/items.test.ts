import assert from "node:assert/strict";
import { before, test } from "node:test";

import { imageIdOf, indexOf, itemsOf, pathOf } from "../src/items";
import { type Action, type Instance, type Series, wholeSeries } from "../src/manifest";

before(() => {
  Object.assign(globalThis, { location: { origin: "https://viewer.example" } });
});

function instance(uid: string, number: number | undefined, frames = 1, action: Action = "keep"): Instance {
  const shown = action === "keep" || action === "extract_video";
  return {
    metadata: { SOPInstanceUID: uid, InstanceNumber: number, NumberOfFrames: frames },
    url: shown ? `dicomweb:/objects/default/${uid}.dcm` : null,
    rendition: { action, frames },
  };
}

function series(...instances: Instance[]): Series {
  return { SeriesInstanceUID: "1", instances };
}

test("a series is walked through by instance number, those without one last", () => {
  const items = itemsOf(series(instance("c", undefined), instance("b", 10), instance("a", 2)));
  assert.deepEqual(items.map((item) => item.instance.metadata.SOPInstanceUID), ["a", "b", "c"]);
});

test("each frame of an image is an item, a video and a failed object are one", () => {
  const items = itemsOf(
    series(instance("a", 1, 3), instance("b", 2, 100, "extract_video"), instance("c", 3, 9, "fail")),
  );
  assert.deepEqual(
    items.map(({ instance: { metadata }, frame }) => [metadata.SOPInstanceUID, frame]),
    [["a", 1], ["a", 2], ["a", 3], ["b", 1], ["c", 1]],
  );
  assert.equal(indexOf(items, "a", 3), 2);
  assert.equal(indexOf(items, "a", 99), 2);
  assert.equal(indexOf(items, "c"), 4);
  assert.equal(indexOf(items, "unknown"), 0);
  assert.equal(items[1] && imageIdOf(items[1]), "dicomweb:https://viewer.example/objects/default/a.dcm?frame=2");
});

test("only files of this server's folders are opened", () => {
  assert.equal(pathOf("dicomweb:/renditions/north/a.dcm"), "/renditions/north/a.dcm");
  assert.equal(pathOf("dicomweb:https://public.example/objects/a.dcm?frame=2"), "/objects/a.dcm");
  assert.equal(pathOf("/renditions/a.mp4"), "/renditions/a.mp4");
  for (const url of [
    null,
    "",
    "javascript:alert(1)",
    "dicomweb:javascript:alert(1)//objects/",
    "dicomweb:/manifests/default/studies.json",
    "dicomweb:/objects/../manifests/x",
    "dicomweb:https://evil.example/anything",
    "data:text/html,x",
  ]) {
    assert.equal(pathOf(url), undefined, String(url));
  }
});

test("objects that can be opened and those that cannot are one series again, each once", () => {
  const further = { metadata: { SOPInstanceUID: "a" }, url: "dicomweb:/objects/default/a.dcm?frame=2" };
  const written = {
    StudyInstanceUID: "9",
    series: [
      { SeriesInstanceUID: "2", SeriesNumber: 2, instances: [instance("a", 1, 2), further as Instance] },
    ],
    not_shown: [
      { SeriesInstanceUID: "2", SeriesNumber: 2, instances: [instance("b", 2, 1, "fail")] },
      { SeriesInstanceUID: "1", SeriesNumber: 1, instances: [instance("c", 1, 1, "no_pixels")] },
    ],
  };
  const whole = wholeSeries(written).map((each) => [
    each.SeriesInstanceUID,
    ...each.instances.map(({ metadata }) => metadata.SOPInstanceUID),
  ]);
  assert.deepEqual(whole, [["1", "c"], ["2", "a", "b"]]);
});
