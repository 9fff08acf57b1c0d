// Bundles the page that loads objects for the tests in a browser: node harness/build.mjs OUT
import { copyFile } from "node:fs/promises";

import { bundle } from "../bundle.mjs";

const out = process.argv[2] ?? "dist-harness";
await bundle("harness/harness.js", out);
await copyFile("harness/index.html", `${out}/index.html`);
