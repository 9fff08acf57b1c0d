// Loads objects by Cornerstone3D as its users do, and hands what it shows to the test.
import { imageLoader, init as initCore, metaData, cache } from "@cornerstonejs/core";
import { init as initLoader } from "@cornerstonejs/dicom-image-loader";

initCore();
initLoader({
  maxWebWorkers: 1,
  wasmBasePath: new URL("codecs/", location.href).href,
  useLegacyMetadataProvider: new URLSearchParams(location.search).has("legacy"),
});

// What an image is made of besides its pixels.
function describe(image, pixels) {
  return {
    type: pixels.constructor.name,
    length: pixels.length,
    rows: image.rows,
    columns: image.columns,
    components: image.numberOfComponents,
    color: image.color,
    invert: image.invert,
  };
}

// Sends each frame's pixels to `results`; a failure is told instead of the frame.
async function load(url, frames, results, seconds) {
  const outcomes = [];
  for (let frame = 1; frame <= frames; frame += 1) {
    const imageId = `wadouri:${url}?frame=${frame}`;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("never settled")), seconds * 1000);
    });
    try {
      // Stored values: the modality LUT is applied by the viewport, or by `preScale`, afterwards.
      const loading = imageLoader.loadImage(imageId, { preScale: { enabled: false } });
      const image = await Promise.race([loading, late]);
      const pixels = image.getPixelData();
      await fetch(`${results}?frame=${frame}`, {
        method: "POST",
        body: new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength),
      });
      outcomes.push(describe(image, pixels));
    } catch (problem) {
      const error = problem?.error ?? problem;
      outcomes.push({ error: String(error?.message ?? error?.type ?? error).slice(0, 200) });
      if (outcomes.at(-1).error === "never settled") break;
    } finally {
      clearTimeout(timer);
    }
  }
  return outcomes;
}

window.harness = { load, metaData, cache };
