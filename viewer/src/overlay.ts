// What is written over the image, in the corners and at the edges.
import { element, fill } from "./dom";
import { formatDate, formatNumber, formatTime } from "./format";
import { type Item, numberOf } from "./items";
import { text } from "./language";
import type { Series, Study } from "./manifest";
import { edgesOf } from "./orientation";
import { personName } from "./person";
import type { Stage } from "./stage";

const CORNERS = ["top-left", "top-right", "bottom-left", "bottom-right"] as const;
const EDGES = ["left", "right", "top", "bottom"] as const;

export class Overlay {
  readonly host = element("div", { class: "overlay" });
  series: Series | undefined;
  private readonly corners = new Map(CORNERS.map((name) => [name, element("div", { class: `corner ${name}` })]));
  private readonly edges = new Map(EDGES.map((name) => [name, element("div", { class: `edge ${name}` })]));

  constructor(private readonly study: Study) {
    this.host.append(...this.corners.values(), ...this.edges.values());
  }

  /** `image` is undefined for a video, which has no window, zoom and orientation. */
  show(item: Item, image: Stage | undefined): void {
    const { study, series } = this;
    const { main, other } = personName(study.PatientName ?? "");
    const { metadata } = item.instance;
    this.corner("top-left", [
      main || text("page", "unnamed"),
      other,
      [study.PatientID, study.PatientSex].filter(Boolean).join(" · "),
    ]);
    this.corner("top-right", [
      [formatDate(study.StudyDate ?? ""), formatTime(study.StudyTime ?? "")].join(" "),
      study.StudyDescription ?? "",
      [series?.SeriesNumber, series?.SeriesDescription].filter(Boolean).join(" · "),
    ]);
    const slice = numberOf(metadata["SliceLocation"]);
    this.corner("bottom-left", [
      slice === undefined ? "" : text("overlay", "slice", { location: formatNumber(slice) }),
      item.frames > 1 ? text("overlay", "frame", { number: item.frame, total: item.frames }) : "",
      text("overlay", "object", {
        number: item.position + 1,
        total: series?.instances.length ?? "",
      }),
    ]);
    this.corner("bottom-right", image ? [windowText(image), zoomText(image)] : []);
    const edges = image && edgesOf(image.orientation());
    for (const name of EDGES) fill(this.edges.get(name) ?? this.host, edges?.[name]);
  }

  private corner(name: (typeof CORNERS)[number], lines: readonly string[]): void {
    const present = lines.filter((line) => line.trim() !== "");
    fill(this.corners.get(name) ?? this.host, ...present.map((line) => element("div", {}, line)));
  }
}

function windowText(image: Stage): string {
  if (image.colour) return text("overlay", "colour");
  const { width, center } = image.window();
  const values = { width: formatNumber(width), center: formatNumber(center) };
  const table = image.hasUnusedTable ? text("overlay", "voi-lut") : "";
  return [text("overlay", "window", values), image.curve, table].filter(Boolean).join(" · ");
}

function zoomText(image: Stage): string {
  return text("overlay", "zoom", { percent: Math.round(image.zoom() * 100) });
}
