// Which side of the patient lies where in the image (PS3.3 C.7.6.1.1.1).

type Vector = readonly number[];

/** Letters at the edges: left, right, top, bottom. */
export interface Edges {
  readonly left: string;
  readonly right: string;
  readonly top: string;
  readonly bottom: string;
}

const AXES = [
  ["R", "L"],
  ["A", "P"],
  ["F", "H"],
] as const;
/** Cosines below this add no letter: 1 in a hundred turns by half a degree. */
const NEGLIGIBLE = 0.1;

/** The letters for ImageOrientationPatient; undefined when the image has none. */
export function edgesOf(orientation: unknown): Edges | undefined {
  if (!Array.isArray(orientation) || orientation.length !== 6) return undefined;
  const cosines = orientation.map(Number);
  if (!cosines.every(Number.isFinite)) return undefined;
  const right = direction(cosines.slice(0, 3));
  const bottom = direction(cosines.slice(3));
  return { left: opposite(right), right, top: opposite(bottom), bottom };
}

function direction(vector: Vector): string {
  return vector
    .map((cosine, axis) => ({ cosine, axis }))
    .filter(({ cosine }) => Math.abs(cosine) > NEGLIGIBLE)
    .sort((one, other) => Math.abs(other.cosine) - Math.abs(one.cosine))
    .map(({ cosine, axis }) => AXES[axis]?.[cosine > 0 ? 1 : 0] ?? "")
    .join("");
}

function opposite(letters: string): string {
  const pairs = AXES.flatMap(([one, other]) => [
    [one, other],
    [other, one],
  ]);
  const swap = new Map<string, string>(pairs as [string, string][]);
  return [...letters].map((letter) => swap.get(letter) ?? letter).join("");
}
