// The tools over the image.
import { button, element, fill } from "./dom";
import type { Tool } from "./gestures";
import { text } from "./language";
import type { Stage } from "./stage";
import { CT_PRESETS, type Window } from "./windows";

const TOOLS: readonly { readonly tool: Tool; readonly key: string }[] = [
  { tool: "window", key: "W" },
  { tool: "zoom", key: "Z" },
  { tool: "pan", key: "P" },
  { tool: "scroll", key: "S" },
];

interface Does {
  window(window: Window | undefined): void;
  invert(): void;
  fit(): void;
  reset(): void;
  play(): void;
}

interface Choice {
  readonly name: string;
  /** Undefined: as each object says. */
  readonly window: Window | undefined;
}

export class Toolbar {
  readonly host = element("div", { class: "toolbar", role: "toolbar" });
  tool: Tool = "window";
  modality = "";
  private readonly tools: readonly HTMLButtonElement[];
  private readonly presets = element("select", { class: "presets" });
  private readonly inverting: HTMLButtonElement;
  private readonly playButton: HTMLButtonElement;
  private choices: readonly Choice[] = [];

  constructor(private readonly does: Does) {
    this.tools = TOOLS.map(({ tool, key }) =>
      button(text("tools", tool), () => this.choose(tool), { title: `${text("tools", tool)} (${key})` }),
    );
    this.presets.setAttribute("aria-label", text("tools", "presets"));
    this.presets.addEventListener("change", () => this.preset(Number(this.presets.value)));
    this.inverting = button(text("tools", "invert"), () => does.invert(), { title: "I" });
    this.playButton = button(text("tools", "play"), () => does.play(), { class: "play" });
    fill(
      this.host,
      element("div", { class: "group", role: "group", "aria-label": text("tools", "drag") }, ...this.tools),
      this.presets,
      element(
        "div",
        { class: "group" },
        this.inverting,
        button(text("tools", "fit"), () => does.fit(), { title: "F" }),
        button(text("tools", "reset"), () => does.reset(), { title: "R" }),
      ),
      this.playButton,
    );
    this.choose("window");
    this.hide();
  }

  choose(tool: Tool): void {
    this.tool = tool;
    TOOLS.forEach((each, index) => this.tools[index]?.setAttribute("aria-pressed", String(each.tool === tool)));
  }

  /** Sets the window of a numbered choice, where there is one. */
  preset(number: number): void {
    const choice = this.choices[number];
    if (choice) this.does.window(choice.window);
    this.presets.blur();
  }

  set playing(playing: boolean) {
    fill(this.playButton, text("tools", playing ? "pause" : "play"));
    this.playButton.setAttribute("aria-pressed", String(playing));
  }

  /** Nothing is shown that a tool could work on. */
  hide(): void {
    this.host.classList.add("idle");
    this.presets.disabled = true;
    for (const each of this.host.querySelectorAll("button")) each.disabled = true;
  }

  /** `image` is undefined for a video, which brings its own controls. */
  show(image: Stage | undefined, { playable, playing }: { playable: boolean; playing: boolean }): void {
    this.host.classList.remove("idle");
    for (const each of this.host.querySelectorAll("button")) each.disabled = image === undefined;
    this.playButton.disabled = !playable;
    this.playing = playing;
    this.presets.disabled = image === undefined || image.colour;
    this.inverting.setAttribute("aria-pressed", String(image?.isInverted() ?? false));
    if (image) this.showWindows(image);
  }

  private showWindows(image: Stage): void {
    const suggested = image.objectWindows();
    this.choices = [
      { name: text("tools", "of-object"), window: undefined },
      ...suggested.slice(suggested.length > 1 ? 0 : 1).map(({ explanation, center, width }) => ({
        name: text("tools", "of-object-named", { name: explanation || `${width} / ${center}` }),
        window: { center, width },
      })),
      ...(this.modality === "CT"
        ? CT_PRESETS.map(({ name, center, width }) => ({
            name: `${text("windows", name)}  ${width} / ${center}`,
            window: { center, width },
          }))
        : []),
      { name: text("tools", "whole-range"), window: image.whole() },
    ];
    const inForce = image.window();
    const chosen = image.isOwnWindow()
      ? this.choices.findIndex(
          ({ window }) => window?.center === inForce.center && window.width === inForce.width,
        )
      : 0;
    fill(
      this.presets,
      ...this.choices.map(({ name }, index) =>
        element("option", { value: index, selected: index === chosen }, `${index + 1}  ${name}`),
      ),
      chosen < 0 && element("option", { value: -1, selected: true }, text("tools", "own")),
    );
  }
}
