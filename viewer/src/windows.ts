// Grey windows: what lies between black and white, in the image's own values.

export interface Window {
  readonly center: number;
  readonly width: number;
}

export interface Preset extends Window {
  /** Key of its name in the texts. */
  readonly name: "abdomen" | "lung" | "mediastinum" | "bone" | "brain" | "angio";
}

/** For CT only: other modalities have no common unit. In HU. */
export const CT_PRESETS: readonly Preset[] = [
  { name: "abdomen", center: 40, width: 400 },
  { name: "lung", center: -600, width: 1500 },
  { name: "mediastinum", center: 50, width: 350 },
  { name: "bone", center: 450, width: 1800 },
  { name: "brain", center: 40, width: 80 },
  { name: "angio", center: 300, width: 600 },
];

/** A window moved by a drag; the speed follows the range of the image's values. */
export function dragged(from: Window, dx: number, dy: number, range: number): Window {
  const speed = Math.max(range, 1) / 1024;
  const least = range > 4 ? 1 : Math.max(range, Number.MIN_VALUE) / 1000;
  return {
    width: Math.max(least, from.width + dx * speed),
    center: from.center + dy * speed,
  };
}

/** All values of an image. */
export function wholeRange(least: number, most: number): Window {
  if (Number.isInteger(least) && Number.isInteger(most)) {
    return { center: (least + most + 1) / 2, width: most - least + 1 };
  }
  return { center: (least + most) / 2, width: most - least };
}
