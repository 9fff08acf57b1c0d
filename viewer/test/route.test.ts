import assert from "node:assert/strict";
import { test } from "node:test";

import { formatRoute, parseRoute } from "../src/route";

test("an address leads back to what it was made of", () => {
  const route = { tenant: "north-2", study: "1.2.3", series: "1.2.3.4", instance: "1.2.3.4.5", frame: 7 };
  assert.deepEqual(parseRoute(formatRoute(route)), route);
  assert.deepEqual(parseRoute(formatRoute({ tenant: "default" })), { tenant: "default" });
});

test("what is not well-formed in an address is left out", () => {
  const hostile = ["../../x", "..", "a/b", "<script>", "1".repeat(65), "", " "];
  for (const text of hostile) {
    const query = new URLSearchParams({ tenant: `${text}!`, study: text, instance: text, frame: text });
    assert.deepEqual(parseRoute(`?${query}`), { tenant: "default" });
  }
  assert.equal(parseRoute("?study=1.2&instance=1.3&frame=-1").frame, undefined);
  assert.equal(parseRoute("?instance=1.3&frame=2").instance, undefined);
});
