// Builds the page into dist/: static files that any web server can serve from any folder.
import { cp } from "node:fs/promises";

import { bundle } from "./bundle.mjs";

await bundle("src/main.ts", "dist");
await cp("public", "dist", { recursive: true });
