import assert from "node:assert/strict";
import { test } from "node:test";

import { formatBytes, formatDate, formatTime } from "../src/format";
import { edgesOf } from "../src/orientation";
import { dragged, wholeRange } from "../src/windows";

test("the edges of an image are named by the patient's sides", () => {
  assert.deepEqual(edgesOf([1, 0, 0, 0, 1, 0]), { left: "R", right: "L", top: "A", bottom: "P" });
  assert.deepEqual(edgesOf([0, 1, 0, 0, 0, -1]), { left: "A", right: "P", top: "H", bottom: "F" });
  assert.deepEqual(edgesOf([0.9, 0.43, 0, 0, 0, -1]), { left: "RA", right: "LP", top: "H", bottom: "F" });
  for (const none of [undefined, [], [1, 0, 0], ["a", 0, 0, 0, 1, 0]]) assert.equal(edgesOf(none), undefined);
});

test("dragging to the right widens, dragging down raises the centre, and no window is empty", () => {
  const from = { center: 40, width: 400 };
  assert.deepEqual(dragged(from, 10, 0, 4096), { center: 40, width: 440 });
  assert.deepEqual(dragged(from, 0, 10, 4096), { center: 80, width: 400 });
  assert.equal(dragged(from, -1000, 0, 4096).width, 1);
  assert.ok(dragged({ center: 0, width: 1 }, -1000, 0, 1).width > 0);
});

test("the full range is all values, of integers and of fractions", () => {
  assert.deepEqual(wholeRange(0, 255), { center: 128, width: 256 });
  assert.deepEqual(wholeRange(0, 0.5), { center: 0.25, width: 0.5 });
  assert.ok(wholeRange(7, 7).width > 0);
});

test("values are written as people read them", () => {
  assert.equal(formatDate("20261122"), "2026-11-22");
  assert.equal(formatDate("1997.04.24"), "1997-04-24");
  assert.equal(formatDate("yesterday"), "yesterday");
  assert.equal(formatTime("101500.000000"), "10:15");
  assert.equal(formatTime(undefined), "");
  assert.equal(formatBytes(999), "999 B");
  assert.equal(formatBytes(1_500_000), "1.5 MB");
});
