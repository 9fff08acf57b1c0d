// All objects of a series at a glance: one square each, coloured by what was done with it.
import { element, fill } from "./dom";
import { type Item, textOf } from "./items";
import { text } from "./language";
import type { Action, Series } from "./manifest";

const ACTIONS: readonly Action[] = ["keep", "transcode", "extract_video", "no_pixels", "pending", "fail"];
/** More squares than this would be neither seen nor drawn quickly. */
const MOST = 3000;

export class ObjectMap {
  readonly host = element("section", { class: "map" });
  private squares = new Map<string, HTMLButtonElement>();
  private current: HTMLButtonElement | undefined;

  constructor(private readonly choose: (uid: string) => void) {}

  show(series: Series, items: readonly Item[]): void {
    this.current = undefined;
    this.squares = new Map(
      items
        .filter(({ frame }) => frame === 1)
        .slice(0, MOST)
        .map(({ instance, position }) => {
          const uid = instance.metadata.SOPInstanceUID;
          const { action } = instance.rendition;
          const number = textOf(instance.metadata["InstanceNumber"]) || position + 1;
          const label = `${number}: ${text("actions", action)}`;
          const square = element("button", {
            type: "button",
            class: `square ${action}`,
            title: label,
            "aria-label": label,
            tabindex: -1,
          });
          square.addEventListener("click", () => this.choose(uid));
          return [uid, square];
        }),
    );
    const counts = new Map<Action, number>();
    for (const { rendition } of series.instances) {
      counts.set(rendition.action, (counts.get(rendition.action) ?? 0) + 1);
    }
    fill(
      this.host,
      element("h2", { title: text("page", "object-map-hint") }, text("page", "object-map")),
      element("div", { class: "squares" }, ...this.squares.values()),
      element(
        "ul",
        { class: "legend" },
        ...ACTIONS.filter((action) => counts.has(action)).map((action) =>
          element(
            "li",
            {},
            element("span", { class: `square ${action}` }),
            text("actions", action),
            element("b", {}, String(counts.get(action))),
          ),
        ),
      ),
    );
  }

  mark(item: Item): void {
    this.current?.removeAttribute("aria-current");
    this.current = this.squares.get(item.instance.metadata.SOPInstanceUID);
    this.current?.setAttribute("aria-current", "true");
  }
}
