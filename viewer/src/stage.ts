// The place where an image is shown: a Cornerstone3D stack viewport that is dark unless it shows
// exactly the image that was asked for last.
import { Enums, RenderingEngine, type StackViewport, type Types, cache, getConfiguration, init as initCore, metaData, utilities } from "@cornerstonejs/core";
import { init as initLoader } from "@cornerstonejs/dicom-image-loader";

import { element } from "./dom";
import { numberOf } from "./items";
import { LoadError, type Progress, loadImage } from "./loading";
import { type Window, wholeRange } from "./windows";

const { VOILUTFunctionType } = Enums;
const CACHE_BYTES = 1_000_000_000;
/** Pixels that are looked at before an image is uncovered. */
const COMPARED = 50_000;
const LINEAR_FUNCTIONS: readonly string[] = [
  VOILUTFunctionType.LINEAR,
  VOILUTFunctionType.LINEAR_EXACT,
];

/** A window that the object itself suggests. */
export interface ObjectWindow extends Window {
  readonly explanation: string;
}

let prepared = false;

function prepare(): void {
  if (prepared) return;
  prepared = true;
  const defaults = getConfiguration();
  initCore({ ...defaults, rendering: { ...defaults.rendering, webGlContextCount: 1 } });
  initLoader({
    maxWebWorkers: Math.max(1, Math.min(4, Math.floor(navigator.hardwareConcurrency / 2))),
    wasmBasePath: new URL("codecs/", import.meta.url).href,
  });
  cache.setMaxCacheSize(CACHE_BYTES);
}

export class Stage {
  readonly host = element("div", { class: "stage-image" });
  private readonly engine: RenderingEngine;
  private readonly viewport: StackViewport;
  private readonly resized: ResizeObserver;
  private image: Types.IImage | undefined;
  private siblings: readonly string[] = [];
  private photometric = "";
  private turn = 0;
  /** The reader's own window; none: that of each image. */
  private own: Window | undefined;
  private inverted = false;

  /** `place` must be in the document: the viewport takes its size from it. */
  constructor(place: HTMLElement) {
    prepare();
    place.append(this.host);
    this.hide();
    this.engine = new RenderingEngine("engine");
    this.engine.enableElement({
      viewportId: "stage",
      element: this.host,
      type: Enums.ViewportType.STACK,
      defaultOptions: { background: [0, 0, 0] },
    });
    this.viewport = this.engine.getViewport("stage") as StackViewport;
    this.resized = new ResizeObserver(() => this.engine.resize(true, true));
    this.resized.observe(this.host);
  }

  dispose(): void {
    this.turn += 1;
    this.resized.disconnect();
    this.engine.destroy();
    this.host.remove();
  }

  /** Shows nothing; what is still being loaded will not be shown either. */
  clear(): void {
    this.turn += 1;
    this.image = undefined;
    this.hide();
  }

  /** Whether an image can be shown at once. */
  isReady(imageId: string): boolean {
    return cache.getImage(imageId) !== undefined;
  }

  /**
   * Shows an image of a series, whose images are `siblings`.
   *
   * @returns whether it is shown: not when another was asked for in the meantime.
   * @throws LoadError
   */
  async show(
    imageId: string,
    siblings: readonly string[],
    progress: (progress: Progress) => void,
  ): Promise<boolean> {
    this.turn += 1;
    const { turn } = this;
    const isCurrent = (): boolean => turn === this.turn;
    if (!this.isReady(imageId)) this.hide();
    try {
      const image = await loadImage(imageId, (each) => isCurrent() && progress(each));
      if (!isCurrent()) return false;
      await this.display(image, siblings);
    } catch (problem) {
      if (!isCurrent()) return false;
      this.clear();
      throw problem;
    }
    if (!isCurrent()) return false;
    this.host.hidden = false;
    return true;
  }

  private hide(): void {
    this.host.hidden = true;
  }

  private async display(image: Types.IImage, siblings: readonly string[]): Promise<void> {
    const { imageId } = image;
    const index = siblings.indexOf(imageId);
    const photometric = String(image.imageFrame?.photometricInterpretation);
    const curve = String(image.voiLUTFunction);
    const sameSeries = siblings === this.siblings;
    const sameKind = photometric === this.photometric && curve === String(this.image?.voiLUTFunction);
    // A viewport carries colours, inversion and curve of one image over to the next of its stack.
    if (!sameSeries || !sameKind || !this.image) {
      await this.viewport.setStack([...siblings], index);
    } else {
      await this.viewport.setImageIdIndex(index);
      if (!this.isDisplayed(image)) await this.viewport.setStack([...siblings], index);
    }
    if (!this.isDisplayed(image)) throw new LoadError("decode", {}, "another image is displayed");
    if (!sameSeries) {
      this.viewport.resetCamera();
      this.own = undefined;
      this.inverted = false;
    }
    this.siblings = siblings;
    this.photometric = photometric;
    this.image = image;
    const drawn = this.nextDrawing();
    this.apply();
    await drawn;
  }

  /**
   * Whether the viewport is about to draw the pixels of an image. It only logs what goes wrong
   * while it takes over an image, and then draws the one before.
   */
  private isDisplayed(image: Types.IImage): boolean {
    const displayed = this.viewport.getCornerstoneImage() as Types.IImage | undefined;
    if (displayed?.imageId !== image.imageId) return false;
    const pixels = image.voxelManager?.getScalarData();
    const { imageData, dimensions } = this.viewport.getImageData() ?? {};
    const drawn =
      imageData && "getPointData" in imageData
        ? imageData.getPointData().getScalars().getData()
        : imageData?.getScalarData?.();
    return (
      pixels !== undefined &&
      drawn !== undefined &&
      drawn.length === pixels.length &&
      dimensions?.[0] === image.columns &&
      dimensions[1] === image.rows &&
      agree(pixels, drawn)
    );
  }

  private nextDrawing(): Promise<void> {
    return new Promise((resolve) => {
      this.host.addEventListener(Enums.Events.IMAGE_RENDERED, () => resolve(), { once: true });
    });
  }

  /** Sets window and inversion anew, whatever the viewport had kept, and draws. */
  private apply(): void {
    const { image, viewport } = this;
    if (!image) return;
    const invert = this.inverted !== (this.photometric === "MONOCHROME1");
    if (image.color) {
      // The viewport takes all colours for those of 8 bits; what a palette makes is of 8.
      const stored = this.photometric === "PALETTE COLOR" ? 8 : (image.imageFrame?.bitsStored ?? 8);
      const voiRange = { lower: 0, upper: 2 ** Math.max(8, stored) - 1 };
      viewport.setProperties({ voiRange, invert: this.inverted });
    } else {
      const window = this.window();
      const { lower, upper } = this.range(window);
      viewport.setProperties({ voiRange: { lower, upper: Math.max(upper, lower + 1e-6) }, invert });
    }
    viewport.render();
  }

  private range({ width, center }: Window): { lower: number; upper: number } {
    const named = String(this.image?.voiLUTFunction ?? VOILUTFunctionType.LINEAR);
    const exact = width <= 1 || named === VOILUTFunctionType.LINEAR_EXACT;
    const kind = exact ? VOILUTFunctionType.LINEAR_EXACT : VOILUTFunctionType.LINEAR;
    return utilities.windowLevel.toLowHighRange(width, center, kind);
  }

  /** Whether the image has colours, so that a window has no meaning. */
  get colour(): boolean {
    return this.image?.color === true;
  }

  /** Name of a VOI LUT function that is not linear; undefined for a linear one. */
  get curve(): string | undefined {
    const named = this.image?.voiLUTFunction;
    return named && !LINEAR_FUNCTIONS.includes(String(named)) ? String(named) : undefined;
  }

  /** Whether the object has a table of greys instead of a window: it is shown by its full range. */
  get hasUnusedTable(): boolean {
    return this.image?.voiLUT !== undefined && this.objectWindows().length === 0;
  }

  /** The window in force. */
  window(): Window {
    return this.own ?? this.objectWindows()[0] ?? this.whole();
  }

  isOwnWindow(): boolean {
    return this.own !== undefined;
  }

  /** Sets the window for all images of the series; undefined: as each image says. */
  setWindow(window: Window | undefined): void {
    if (this.colour) return;
    this.own = window;
    this.apply();
  }

  /** The windows that the image suggests, its first first. */
  objectWindows(): ObjectWindow[] {
    if (!this.image) return [];
    const module: Record<string, unknown> =
      metaData.get(Enums.MetadataModules.VOI_LUT, this.image.imageId) ?? {};
    const centers = listOf(module["windowCenter"]);
    const widths = listOf(module["windowWidth"]);
    const names = listOf(module["windowCenterWidthExplanation"]);
    return centers.flatMap((each, index) => {
      const center = numberOf(each);
      const width = numberOf(widths[index]);
      if (center === undefined || width === undefined || width <= 0) return [];
      return [{ center, width, explanation: String(names[index] ?? "") }];
    });
  }

  /** All values of the image. */
  whole(): Window {
    return wholeRange(this.image?.minPixelValue ?? 0, this.image?.maxPixelValue ?? 255);
  }

  /** ImageOrientationPatient of the image. */
  orientation(): unknown {
    if (!this.image) return undefined;
    const plane = metaData.get(Enums.MetadataModules.IMAGE_PLANE, this.image.imageId);
    return plane?.usingDefaultValues ? undefined : plane?.imageOrientationPatient;
  }

  invert(): void {
    this.inverted = !this.inverted;
    this.apply();
  }

  isInverted(): boolean {
    return this.inverted;
  }

  /** 1: the whole image fits. */
  zoom(): number {
    return this.image ? this.viewport.getZoom() : 1;
  }

  zoomBy(factor: number): void {
    if (!this.image) return;
    this.viewport.setZoom(Math.min(50, Math.max(0.1, this.viewport.getZoom() * factor)));
    this.viewport.render();
  }

  panBy(dx: number, dy: number): void {
    if (!this.image) return;
    const [x, y] = this.viewport.getPan();
    this.viewport.setPan([x + dx, y + dy]);
    this.viewport.render();
  }

  fit(): void {
    if (!this.image) return;
    this.viewport.resetCamera();
    this.viewport.render();
  }

  reset(): void {
    this.own = undefined;
    this.inverted = false;
    this.apply();
    this.fit();
  }
}

/** Whether two arrays agree in as many of their values as can be looked at in no time. */
function agree(one: ArrayLike<number>, other: ArrayLike<number>): boolean {
  const step = Math.max(1, Math.floor(one.length / COMPARED));
  for (let index = 0; index < one.length; index += step) {
    if (!Object.is(one[index], other[index])) return false;
  }
  return true;
}

function listOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}
