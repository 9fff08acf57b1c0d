// A series as one walks through it: one item a frame of an image, one a video, and one an object
// that has nothing to show, in the order of the instance numbers.
import type { Instance, Series } from "./manifest";

export interface Item {
  readonly instance: Instance;
  /** 0-based among the instances of the series. */
  readonly position: number;
  /** 1-based. */
  readonly frame: number;
  readonly frames: number;
}

/** Folders of the server that hold files of objects. */
const FOLDERS = ["/objects/", "/renditions/"];

/** An attribute's number; undefined when it is none. */
export function numberOf(value: unknown): number | undefined {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  if (first === null || first === undefined || first === "") return undefined;
  const number = Number(first);
  return Number.isFinite(number) ? number : undefined;
}

/** An attribute's text; empty when it has none. */
export function textOf(value: unknown): string {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === "string" || typeof first === "number" ? String(first) : "";
}

export function isVideo(instance: Instance): boolean {
  return instance.rendition.media_type === "video/mp4" || instance.rendition.action === "extract_video";
}

/** How many frames an object has to show: 1 for what is no multi-frame image. */
export function framesOf(instance: Instance): number {
  if (instance.url === null || isVideo(instance)) return 1;
  const frames =
    numberOf(instance.rendition.frames) ?? numberOf(instance.metadata["NumberOfFrames"]) ?? 1;
  return Math.max(1, Math.floor(frames));
}

export function itemsOf(series: Series): Item[] {
  const ordered = series.instances
    .map((instance) => ({ instance, number: numberOf(instance.metadata["InstanceNumber"]) }))
    .sort((one, other) => (one.number ?? Infinity) - (other.number ?? Infinity) || 0)
    .map(({ instance }) => instance);
  return ordered.flatMap((instance, position) => {
    const frames = framesOf(instance);
    return Array.from({ length: frames }, (_, index) => ({
      instance,
      position,
      frame: index + 1,
      frames,
    }));
  });
}

/** Where an object, or one of its frames, stands among the items; 0 when it does not. */
export function indexOf(items: readonly Item[], uid?: string, frame = 1): number {
  const first = items.findIndex((item) => item.instance.metadata.SOPInstanceUID === uid);
  if (first < 0) return 0;
  return first + Math.min(frame, items[first]?.frames ?? 1) - 1;
}

/**
 * The path of an object's file on this server, or undefined when the address is none of its own.
 * A manifest may name another host that reaches this server: only the path counts.
 */
export function pathOf(url: string | null): string | undefined {
  if (url === null) return undefined;
  try {
    const { protocol, pathname } = new URL(url.replace(/^dicomweb:/, ""), location.origin);
    const known = FOLDERS.some((folder) => pathname.startsWith(folder));
    return known && /^https?:$/.test(protocol) ? pathname : undefined;
  } catch {
    return undefined;
  }
}

/** The name by which Cornerstone3D knows an item's image. */
export function imageIdOf(item: Item): string | undefined {
  const path = pathOf(item.instance.url);
  return path && `dicomweb:${location.origin}${path}?frame=${item.frame}`;
}
