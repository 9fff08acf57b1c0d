// Bundles a page with everything Cornerstone3D loads while it runs: the decoding worker and the
// codecs, so that a page needs nothing but its own folder.
import { copyFile, mkdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

import { build } from "esbuild";

const require = createRequire(import.meta.url);

/** The loader starts it as `./decodeImageFrameWorker.js` beside the bundle. */
const WORKER = join(
  dirname(require.resolve("@cornerstonejs/dicom-image-loader")),
  "decodeImageFrameWorker.js",
);

/** The WebAssembly that the decoders ask for by file name, below `wasmBasePath`. */
const CODECS = [
  "@cornerstonejs/codec-charls/decodewasm",
  "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm",
  "@cornerstonejs/codec-libjxl/decodewasm",
  "@cornerstonejs/codec-openjpeg/decodewasm",
  "@cornerstonejs/codec-openjph/wasm",
];

/**
 * Bundles `entry` into `outdir` as `main.js`, with `decodeImageFrameWorker.js` beside it and the
 * codecs in `codecs/`. What was in `outdir` is removed.
 */
export async function bundle(entry, outdir) {
  await rm(outdir, { recursive: true, force: true });
  await mkdir(join(outdir, "codecs"), { recursive: true });
  await build({
    entryPoints: { main: entry, decodeImageFrameWorker: WORKER },
    outdir,
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "linked",
    logLevel: "error",
    // The codecs' glue code asks for these where it runs in Node.js.
    external: ["fs", "path", "crypto", "module"],
    // vtk.js writes XML files with it, which no page here does, and it needs parts of Node.js.
    alias: { xmlbuilder2: "./stubs/xmlbuilder2.mjs" },
  });
  for (const codec of CODECS) {
    const file = require.resolve(codec);
    await copyFile(file, join(outdir, "codecs", basename(file)));
  }
}
