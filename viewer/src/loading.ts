// Loads an image through Cornerstone3D, and makes sure that it ends: with an image, or with the
// reason why there is none.
import { Enums, type Types, cache, getWebWorkerManager, imageLoader, utilities } from "@cornerstonejs/core";
import { Enums as MetadataEnums, utilities as metadata } from "@cornerstonejs/metadata";

export type LoadKind = "not-found" | "forbidden" | "server" | "network" | "decode" | "time" | "address";

/** Why an image was not loaded. */
export class LoadError extends Error {
  constructor(
    readonly kind: LoadKind,
    readonly values: Readonly<Record<string, string | number>> = {},
    detail = "",
  ) {
    super(detail);
  }
}

export interface Progress {
  readonly loaded: number;
  /** Undefined where the server does not say. */
  readonly total?: number | undefined;
}

/** Loading has failed when for so long nothing has arrived, or a decoder has not answered. */
export const QUIET_SECONDS = 20;

const OPTIONS = { useRGBA: false, requestType: Enums.RequestType.Interaction, priority: 0 };

/** Files whose data sets Cornerstone3D has, or will have, by address. */
const files = new Map<string, Promise<void>>();
/** Images that are being decoded. */
const decodings = new Map<string, Promise<Types.IImage>>();
let downloads = new AbortController();

/**
 * The image, decoded in full, which is in Cornerstone3D's cache then.
 *
 * @throws LoadError
 */
export async function loadImage(
  imageId: string,
  progress: (progress: Progress) => void = () => {},
): Promise<Types.IImage> {
  const ready = cache.getImage(imageId);
  if (ready) return ready;
  await haveFile(imageId.replace(/\?frame=\d+$/, ""), progress);
  const decoding = decodings.get(imageId) ?? decode(imageId);
  decodings.set(imageId, decoding);
  return decoding.finally(() => decodings.delete(imageId));
}

/** Loads an image that is likely to be wanted next; a failure shows when it is wanted. */
export async function prefetch(imageId: string): Promise<void> {
  await loadImage(imageId).catch(() => {});
}

/** Frees what was loaded, and ends what is being loaded. */
export function forgetAll(): void {
  downloads.abort();
  downloads = new AbortController();
  files.clear();
  cache.purgeCache();
  metadata.clearTypedCacheData(MetadataEnums.MetadataModules.NATURALIZED);
}

async function haveFile(file: string, progress: (progress: Progress) => void): Promise<void> {
  const having = files.get(file) ?? fetchFile(file, progress);
  files.set(file, having);
  try {
    await having;
  } catch (problem) {
    // Another attempt asks anew.
    files.delete(file);
    throw problem;
  }
}

/** `file` is an address behind `dicomweb:`, as Cornerstone3D names data sets. */
async function fetchFile(file: string, progress: (progress: Progress) => void): Promise<void> {
  const content = await download(file.replace(/^dicomweb:/, ""), progress);
  try {
    await metadata.addDicomPart10Instance(file, content);
  } catch (problem) {
    throw undecodable(problem);
  }
}

async function download(address: string, progress: (progress: Progress) => void): Promise<ArrayBuffer> {
  const request = new AbortController();
  const { signal } = downloads;
  const stop = (): void => request.abort(signal.reason);
  signal.addEventListener("abort", stop);
  const quiet = new Quiet(() => request.abort(tooQuiet()));
  try {
    const response = await fetch(address, { signal: request.signal, credentials: "same-origin" });
    if (!response.ok || !response.body) throw ofStatus(response.status);
    const total = Number(response.headers.get("Content-Length")) || undefined;
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let loaded = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      quiet.heard();
      parts.push(value);
      loaded += value.length;
      progress({ loaded, total });
    }
    return await new Blob(parts).arrayBuffer();
  } catch (problem) {
    if (problem instanceof LoadError) throw problem;
    throw new LoadError("network", {}, problem instanceof Error ? problem.message : "");
  } finally {
    quiet.end();
    signal.removeEventListener("abort", stop);
  }
}

async function decode(imageId: string): Promise<Types.IImage> {
  let late: (reason: LoadError) => void = () => {};
  const silence = new Promise<never>((_, reject) => {
    late = reject;
  });
  const quiet = new Quiet(() => {
    // A decoder that does not answer would keep everything that waits for its worker.
    getWebWorkerManager().terminate("dicomImageLoader");
    late(tooQuiet());
  });
  try {
    const image = await Promise.race([imageLoader.loadImage(imageId, { ...OPTIONS }), silence]);
    trim(image);
    if (!cache.getImageLoadObject(imageId)) cache.putImageSync(imageId, image);
    return image;
  } catch (problem) {
    throw problem instanceof LoadError ? problem : undecodable(problem);
  } finally {
    quiet.end();
  }
}

/**
 * Takes away the byte that makes an odd value even (PS3.5 8.1.1): the loader hands it on as a
 * pixel, and a viewport would then show no image, or go on showing another one.
 */
function trim(image: Types.IImage): void {
  const { columns, rows, numberOfComponents, voxelManager } = image;
  const length = columns * rows * numberOfComponents;
  const pixels = voxelManager?.getScalarData() ?? image.getPixelData();
  if (pixels.length === length) return;
  if (pixels.length < length) throw new LoadError("decode", {}, "there are fewer pixels than the image has");
  const scalarData = pixels.slice(0, length) as Types.PixelDataTypedArray;
  image.voxelManager = utilities.VoxelManager.createImageVoxelManager({
    scalarData,
    width: columns,
    height: rows,
    numberOfComponents,
  });
  image.getPixelData = () => scalarData;
}

/** Calls back when for too long nothing was heard. */
class Quiet {
  private timer = 0;

  constructor(private readonly tooLong: () => void) {
    this.heard();
  }

  heard(): void {
    this.end();
    this.timer = window.setTimeout(this.tooLong, QUIET_SECONDS * 1000);
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

function tooQuiet(): LoadError {
  return new LoadError("time", { seconds: QUIET_SECONDS });
}

/** The loader rejects with errors, texts, and objects that hold one of them. */
function undecodable(problem: unknown): LoadError {
  const inner = (problem as { error?: unknown } | null)?.error ?? problem;
  return new LoadError("decode", {}, inner instanceof Error ? inner.message : String(inner));
}

/** What an HTTP status means. */
function ofStatus(status: number): LoadError {
  if (status === 404) return new LoadError("not-found");
  if (status === 401 || status === 403) return new LoadError("forbidden", { status });
  return new LoadError("server", { status });
}
