// Builds the page into dist/: static files that any web server can serve from any folder.
import { cp, readFile, writeFile } from "node:fs/promises";

import { bundle } from "./bundle.mjs";

/** The packages that a build may hold parts of, and their licences. */
async function licences() {
  const { packages } = JSON.parse(await readFile("package-lock.json", "utf8"));
  return Object.entries(packages)
    .filter(([path, { dev, optional }]) => path !== "" && !dev && !optional)
    .map(([path, { version, license }]) => {
      const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
      return `${name} ${version}: ${license ?? "see the package"}\n`;
    })
    .sort()
    .join("");
}

await bundle("src/main.ts", "dist");
await cp("public", "dist", { recursive: true });
await writeFile("dist/licences.txt", await licences());
