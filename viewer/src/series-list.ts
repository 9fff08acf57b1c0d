// The patient, and the series of the study to choose from.
import { element, fill } from "./dom";
import { formatDate, formatTime } from "./format";
import { framesOf } from "./items";
import { text } from "./language";
import type { Series, Study } from "./manifest";

export class SeriesList {
  readonly host = element("div", { class: "series-list" });
  private readonly buttons: HTMLButtonElement[];

  constructor(study: Study, name: string, other: string, choose: (number: number) => void) {
    this.buttons = study.series.map((series, number) => {
      const made = element("button", { type: "button", class: "entry" }, ...entryOf(series));
      made.addEventListener("click", () => choose(number));
      return made;
    });
    fill(
      this.host,
      element(
        "div",
        { class: "patient" },
        element("h1", {}, name),
        other && element("p", { class: "other" }, other),
        element(
          "p",
          {},
          [
            study.PatientID,
            study.PatientSex,
            study.PatientBirthDate &&
              text("page", "born", { date: formatDate(study.PatientBirthDate) }),
          ]
            .filter(Boolean)
            .join(" · "),
        ),
        element(
          "p",
          {},
          [formatDate(study.StudyDate ?? ""), formatTime(study.StudyTime ?? ""), study.StudyDescription]
            .filter(Boolean)
            .join(" · "),
        ),
      ),
      ...this.buttons,
    );
  }

  mark(number: number): void {
    this.buttons.forEach((each, index) => {
      if (index === number) {
        each.setAttribute("aria-current", "true");
        each.scrollIntoView({ block: "nearest" });
      } else each.removeAttribute("aria-current");
    });
  }
}

function entryOf(series: Series): HTMLElement[] {
  const missing = series.instances.filter(({ rendition }) => rendition.action === "fail").length;
  const frames = series.instances.reduce((sum, instance) => sum + framesOf(instance), 0);
  const number = series.SeriesNumber ?? "–";
  return [
    element("span", { class: "modality" }, series.Modality || "?"),
    element("span", { class: "title" }, series.SeriesDescription || text("overlay", "series", { number })),
    element(
      "span",
      { class: "other" },
      [
        number,
        text("overlay", "objects", { number: series.instances.length }),
        frames > series.instances.length && text("overlay", "frames", { number: frames }),
      ]
        .filter(Boolean)
        .join(" · "),
    ),
    ...(missing > 0
      ? [
          element(
            "span",
            { class: "badge fail", title: text("page", "not-shown-number", { number: missing }) },
            String(missing),
          ),
        ]
      : []),
  ];
}
