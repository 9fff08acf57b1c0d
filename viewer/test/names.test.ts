import assert from "node:assert/strict";
import { test } from "node:test";

import { personName } from "../src/person";

test("the ideographic group comes first, without spaces", () => {
  assert.deepEqual(personName("Zhang^San=张^三"), { main: "张三", other: "Zhang San" });
  assert.deepEqual(personName("=張^三"), { main: "張三", other: "" });
  assert.deepEqual(personName("Yamada^Tarou=山田^太郎=やまだ^たろう").main, "山田太郎");
});

test("a name without one is read in its alphabetic group, the prefix first", () => {
  assert.deepEqual(personName("Adams^John Robert^Quincy^Rev.^B.A. M.Div."), {
    main: "Rev. Adams John Robert Quincy B.A. M.Div.",
    other: "",
  });
  assert.deepEqual(personName("OB"), { main: "OB", other: "" });
});

test("no name is no name", () => {
  for (const value of [undefined, "", "^^^^", "=="]) assert.equal(personName(value).main, "");
});
