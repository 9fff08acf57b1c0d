// Walks through a series and shows each item: an image, a video, or why there is neither.
import { button, element, fill } from "./dom";
import { formatBytes } from "./format";
import { listen } from "./gestures";
import { type Item, imageIdOf, indexOf, isVideo, itemsOf, numberOf, pathOf, textOf } from "./items";
import { type Explanation, failure, loadFailure, text } from "./language";
import { LoadError, type Progress, forgetAll, prefetch } from "./loading";
import type { Series, Study } from "./manifest";
import { message } from "./message";
import { ObjectMap } from "./object-map";
import { Overlay } from "./overlay";
import { showDetails, sopClassName, syntaxName } from "./details";
import { Stage } from "./stage";
import { Toolbar } from "./toolbar";
import { Video, VideoError } from "./video";
import { type Window, dragged } from "./windows";

/** Images that are loaded before they are asked for. */
const AHEAD = 16;
const DEFAULT_RATE = 12;
const FASTEST_RATE = 60;
const ZOOM_STEP = 1.25;

/** What the place of the image shows; tests and style sheets ask for it. */
type State = "loading" | "shown" | "video" | "message";

export class SeriesView {
  private readonly place = element("div", { class: "stage", tabindex: "0" });
  private readonly notice = element("div", { class: "notice" });
  private readonly slider = element("input", { type: "range", min: 1, value: 1, step: 1 });
  private readonly position = element("output", { class: "position" });
  private readonly description = element("div", { class: "object" });
  private readonly overlay: Overlay;
  private readonly toolbar: Toolbar;
  private readonly map: ObjectMap;
  private readonly stage: Stage;
  private video: Video | undefined;
  private items: readonly Item[] = [];
  private siblings: readonly string[] = [];
  private index = 0;
  private turn = 0;
  private playing = false;
  private dragStart: Window | undefined;

  constructor(
    centre: HTMLElement,
    side: HTMLElement,
    study: Study,
    private readonly shown: (instance: string, frame: number) => void,
  ) {
    this.overlay = new Overlay(study);
    this.toolbar = new Toolbar({
      window: (window) => this.setWindow(window),
      invert: () => this.invert(),
      fit: () => this.fit(),
      reset: () => this.reset(),
      play: () => this.togglePlay(),
    });
    this.map = new ObjectMap((uid) => void this.goTo(indexOf(this.items, uid)));
    this.slider.setAttribute("aria-label", text("tools", "position"));
    this.slider.addEventListener("input", () => void this.goTo(Number(this.slider.value) - 1));
    fill(
      centre,
      this.toolbar.host,
      this.place,
      element("div", { class: "walk" }, this.slider, this.position),
    );
    fill(side, this.description, this.map.host);
    this.stage = new Stage(this.place);
    this.place.append(this.overlay.host, this.notice);
    listen(this.place, {
      tool: () => this.toolbar.tool,
      window: (dx, dy, start) => this.dragWindow(dx, dy, start),
      zoom: (factor) => this.zoomBy(factor),
      pan: (dx, dy) => this.stage.panBy(dx, dy),
      scroll: (steps) => this.scroll(steps),
      reset: () => this.reset(),
    });
  }

  dispose(): void {
    this.turn += 1;
    this.playing = false;
    this.closeVideo();
    this.stage.dispose();
    forgetAll();
  }

  open(series: Series, instance?: string, frame?: number): void {
    this.stop();
    forgetAll();
    this.items = itemsOf(series);
    this.siblings = this.items.flatMap((item) => imageIdOf(item) ?? []);
    this.overlay.series = series;
    this.toolbar.modality = series.Modality ?? "";
    this.map.show(series, this.items);
    this.slider.max = String(this.items.length);
    this.slider.disabled = this.items.length < 2;
    void this.goTo(indexOf(this.items, instance, frame));
  }

  key(event: KeyboardEvent): void {
    const does = this.keys()[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  private keys(): Readonly<Record<string, () => void>> {
    const page = Math.max(2, Math.round(this.items.length / 10));
    return {
      ArrowUp: () => this.scroll(-1),
      ArrowDown: () => this.scroll(1),
      PageUp: () => this.scroll(-page),
      PageDown: () => this.scroll(page),
      Home: () => this.scroll(-Infinity),
      End: () => this.scroll(Infinity),
      " ": () => this.togglePlay(),
      ",": () => this.video?.step(-1),
      ".": () => this.video?.step(1),
      r: () => this.reset(),
      i: () => this.invert(),
      f: () => this.fit(),
      w: () => this.toolbar.choose("window"),
      z: () => this.toolbar.choose("zoom"),
      p: () => this.toolbar.choose("pan"),
      s: () => this.toolbar.choose("scroll"),
      "+": () => this.zoomBy(ZOOM_STEP),
      "=": () => this.zoomBy(ZOOM_STEP),
      "-": () => this.zoomBy(1 / ZOOM_STEP),
      ...Object.fromEntries(
        Array.from({ length: 9 }, (_, number) => [String(number + 1), () => this.toolbar.preset(number)]),
      ),
    };
  }

  private scroll(steps: number): void {
    this.stop();
    const last = this.items.length - 1;
    const index = Math.min(last, Math.max(0, this.index + steps));
    if (index !== this.index) void this.goTo(index);
  }

  /** Shows one item; whatever was there before is gone first. */
  private async goTo(index: number): Promise<void> {
    this.turn += 1;
    const { turn } = this;
    const item = this.items[index];
    if (!item) return;
    const forward = index >= this.index;
    this.index = index;
    this.mark(item);
    this.closeVideo();
    const path = pathOf(item.instance.url);
    if (path === undefined) {
      this.stage.clear();
      this.refuse(item, item.instance.url === null ? undefined : new LoadError("address"));
      return;
    }
    try {
      if (isVideo(item.instance)) await this.showVideo(item, path);
      else if (!(await this.showImage(item, turn))) return;
      if (turn === this.turn && !this.video) void this.loadAhead(turn, forward ? 1 : -1);
    } catch (problem) {
      if (turn !== this.turn) return;
      this.stage.clear();
      this.closeVideo();
      this.stop();
      this.refuse(item, problem);
    }
  }

  private async showImage(item: Item, turn: number): Promise<boolean> {
    const imageId = imageIdOf(item);
    if (imageId === undefined) throw new LoadError("address");
    // Said only when it takes long enough to be read.
    const patience = setTimeout(() => turn === this.turn && this.say(loadingText()), 150);
    if (!this.stage.isReady(imageId)) this.setState("loading", item);
    try {
      const progress = (each: Progress): void => this.say(loadingText(each));
      if (!(await this.stage.show(imageId, this.siblings, progress))) return false;
    } finally {
      clearTimeout(patience);
    }
    this.setState("shown", item);
    this.refresh();
    return true;
  }

  private async showVideo(item: Item, path: string): Promise<void> {
    this.stage.clear();
    this.setState("loading", item);
    this.say(loadingText());
    const rate = numberOf(item.instance.metadata["RecommendedDisplayFrameRate"]) ?? numberOf(item.instance.metadata["CineRate"]);
    const video = new Video(rate);
    this.video = video;
    this.stage.host.after(video.host);
    await video.open(path);
    if (this.video !== video) return;
    this.setState("video", item);
    this.refresh();
  }

  private closeVideo(): void {
    this.video?.dispose();
    this.video = undefined;
  }

  /** Says why nothing is shown for an item. */
  private refuse(item: Item, problem?: unknown): void {
    const { rendition, metadata } = item.instance;
    this.setState("message", item);
    this.overlay.host.hidden = true;
    this.toolbar.hide();
    if (problem !== undefined) {
      const again = button(text("page", "retry"), () => void this.goTo(this.index));
      const reason = problem instanceof LoadError ? problem.message : "";
      fill(this.notice, message("fail", explain(problem, item), { reason, again }));
    } else if (rendition.action === "no_pixels") {
      const is = text("no-pixels", "is", { kind: sopClassName(textOf(metadata["SOPClassUID"])) });
      const title = text("no-pixels", "title");
      fill(this.notice, message("no_pixels", { title, means: is, remedy: text("no-pixels", "hint") }));
    } else if (rendition.action === "pending") {
      const [title, remedy] = [text("pending", "title"), text("pending", "hint")];
      fill(this.notice, message("pending", { title, means: text("done", "pending"), remedy }));
    } else {
      fill(this.notice, message("fail", failure(rendition.error_code), { reason: rendition.reason }));
    }
  }

  private say(words: string): void {
    fill(this.notice, element("p", { class: "quiet", role: "status" }, words));
  }

  private setState(state: State, item: Item): void {
    this.place.dataset["state"] = state;
    this.place.dataset["uid"] = item.instance.metadata.SOPInstanceUID;
    this.place.dataset["frame"] = String(item.frame);
    fill(this.notice);
    this.overlay.host.hidden = state !== "shown" && state !== "video";
  }

  /** Everything beside the image that follows from which item it is. */
  private mark(item: Item): void {
    this.slider.value = String(this.index + 1);
    this.position.value = `${this.index + 1} / ${this.items.length}`;
    showDetails(this.description, item);
    this.map.mark(item);
    this.shown(item.instance.metadata.SOPInstanceUID, item.frame);
  }

  /** What is written over the image, and the state of the tools. */
  private refresh(): void {
    const item = this.items[this.index];
    if (!item) return;
    const image = this.video ? undefined : this.stage;
    this.overlay.show(item, image);
    this.toolbar.show(image, { playable: this.items.length > 1 || this.video !== undefined, playing: this.playing });
  }

  private async loadAhead(turn: number, direction: number): Promise<void> {
    for (let step = 1; step <= AHEAD; step += 1) {
      const item = this.items[this.index + step * direction];
      if (!item || this.turn !== turn) return;
      const imageId = isVideo(item.instance) ? undefined : imageIdOf(item);
      if (imageId !== undefined) await prefetch(imageId);
    }
  }

  private setWindow(window: Window | undefined): void {
    this.stage.setWindow(window);
    this.refresh();
  }

  private dragWindow(dx: number, dy: number, start: boolean): void {
    if (this.place.dataset["state"] !== "shown" || this.stage.colour) return;
    if (start || !this.dragStart) this.dragStart = this.stage.window();
    this.dragStart = dragged(this.dragStart, dx, dy, this.stage.whole().width);
    this.setWindow(this.dragStart);
  }

  private zoomBy(factor: number): void {
    this.stage.zoomBy(factor);
    this.refresh();
  }

  private invert(): void {
    this.stage.invert();
    this.refresh();
  }

  private fit(): void {
    this.stage.fit();
    this.refresh();
  }

  private reset(): void {
    this.stage.reset();
    this.refresh();
  }

  private stop(): void {
    this.playing = false;
    this.toolbar.playing = false;
  }

  private togglePlay(): void {
    if (this.video) {
      this.video.toggle();
    } else if (this.playing) {
      this.stop();
    } else if (this.items.length > 1) {
      this.playing = true;
      this.toolbar.playing = true;
      void this.play();
    }
  }

  /** Goes on through the frames of the object, or through the series, until it is stopped. */
  private async play(): Promise<void> {
    while (this.playing) {
      const started = performance.now();
      const item = this.items[this.index];
      if (!item) return;
      const next = this.index + 1;
      const first = indexOf(this.items, item.instance.metadata.SOPInstanceUID);
      const [from, to] = item.frames > 1 ? [first, first + item.frames] : [0, this.items.length];
      await this.goTo(next < to ? next : from);
      const rest = 1000 / rateOf(item) - (performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, rest)));
    }
  }
}

function rateOf({ instance: { metadata } }: Item): number {
  const time = numberOf(metadata["FrameTime"]);
  const rate =
    numberOf(metadata["RecommendedDisplayFrameRate"]) ??
    numberOf(metadata["CineRate"]) ??
    (time ? 1000 / time : DEFAULT_RATE);
  return rate > 0 ? Math.min(rate, FASTEST_RATE) : DEFAULT_RATE;
}

function loadingText(progress?: Progress): string {
  if (!progress) return text("page", "loading");
  const loaded = formatBytes(progress.loaded);
  if (!progress.total) return text("page", "loading-bytes", { loaded });
  return text("page", "loading-share", { loaded, total: formatBytes(progress.total) });
}

function explain(problem: unknown, item: Item): Explanation {
  if (problem instanceof LoadError) return loadFailure(problem.kind, problem.values);
  if (!(problem instanceof VideoError)) return loadFailure("decode", {});
  return loadFailure(problem.kind, {
    syntax: syntaxName(item.instance.rendition.original_transfer_syntax ?? ""),
  });
}
