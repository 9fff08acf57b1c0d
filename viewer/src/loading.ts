// Loads an image through Cornerstone3D, and makes sure that it ends: with an image, or with the
// reason why there is none.
import { Enums, type Types, cache, eventTarget, getWebWorkerManager, imageLoader } from "@cornerstonejs/core";
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
  readonly total?: number;
}

/** What the loader fires on Cornerstone3D's event target as bytes arrive; it has no name for it. */
const ARRIVED = "cornerstoneimageloadprogress";

/** Loading has failed when for so long nothing has arrived and no decoder has answered. */
export const QUIET_SECONDS = 20;

/**
 * The image, decoded in full.
 *
 * @throws LoadError
 */
export async function loadImage(
  imageId: string,
  progress: (progress: Progress) => void = () => {},
): Promise<Types.IImage> {
  const watch = new Watch(imageId, progress);
  try {
    const options = { useRGBA: false, requestType: Enums.RequestType.Interaction, priority: 0 };
    return await Promise.race([imageLoader.loadAndCacheImage(imageId, options), watch.silence]);
  } catch (problem) {
    forget(imageId);
    throw problem instanceof LoadError ? problem : explained(problem);
  } finally {
    watch.end();
  }
}

/** Loads an image that is likely to be wanted next; a failure shows when it is wanted. */
export async function prefetch(imageId: string): Promise<void> {
  if (!cache.isLoaded(imageId)) await loadImage(imageId).catch(() => {});
}

/** Frees what was loaded: images, and the files that they were made of. */
export function forgetAll(): void {
  cache.purgeCache();
  metadata.clearTypedCacheData(MetadataEnums.MetadataModules.NATURALIZED);
}

/** A promise that fails in the cache would be answered again and again. */
function forget(imageId: string): void {
  if (cache.getImageLoadObject(imageId)) cache.removeImageLoadObject(imageId);
}

class Watch {
  /** Never resolves; rejects when nothing has been heard for too long. */
  readonly silence: Promise<never>;
  private timer = 0;
  private rejects: (reason: LoadError) => void = () => {};
  private readonly heard: (event: Event) => void;

  constructor(imageId: string, progress: (progress: Progress) => void) {
    this.silence = new Promise((_, reject) => {
      this.rejects = reject;
    });
    this.heard = (event) => {
      const { detail } = event as CustomEvent<Progress & { imageId: string }>;
      if (detail.imageId !== imageId) return;
      this.restart();
      progress(detail);
    };
    eventTarget.addEventListener(ARRIVED, this.heard);
    this.restart();
  }

  end(): void {
    clearTimeout(this.timer);
    eventTarget.removeEventListener(ARRIVED, this.heard);
  }

  private restart(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      // A decoder that does not answer would keep everything that waits for its worker.
      getWebWorkerManager().terminate("dicomImageLoader");
      this.rejects(new LoadError("time", { seconds: QUIET_SECONDS }));
    }, QUIET_SECONDS * 1000);
  }
}

/** The loader rejects with requests, errors, texts, and objects that hold one of them. */
function explained(problem: unknown): LoadError {
  const inner = (problem as { error?: unknown } | null)?.error ?? problem;
  if (inner instanceof XMLHttpRequest) return ofStatus(inner.status);
  return new LoadError("decode", {}, inner instanceof Error ? inner.message : String(inner));
}

/** What an HTTP status means; 0: there was no answer. */
export function ofStatus(status: number): LoadError {
  if (status === 0) return new LoadError("network");
  if (status === 404) return new LoadError("not-found");
  if (status === 401 || status === 403) return new LoadError("forbidden", { status });
  return new LoadError("server", { status });
}
