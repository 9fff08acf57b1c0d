// The list of a tenant's studies.
import { button, element, fill } from "./dom";
import { formatDate, formatTime } from "./format";
import { loadFailure, text } from "./language";
import { type StudyList, type StudySummary, fetchStudies } from "./manifest";
import { message } from "./message";
import { personName } from "./person";
import { type Route, formatRoute } from "./route";
import type { View } from "./view";

export async function showStudies(place: HTMLElement, route: Route): Promise<View> {
  document.title = text("page", "title");
  fill(place, element("p", { class: "quiet" }, text("page", "loading")));
  let list: StudyList;
  try {
    list = await fetchStudies(route.tenant);
  } catch (problem) {
    const again = button(text("page", "retry"), () => location.reload());
    const reason = problem instanceof Error ? problem.message : "";
    fill(place, message("fail", loadFailure("list", { tenant: route.tenant }), { reason, again }));
    return {};
  }
  return new StudiesView(place, list);
}

class StudiesView implements View {
  private readonly search = element("input", {
    type: "search",
    class: "search",
    "aria-label": text("page", "search"),
    placeholder: text("page", "search"),
    autocomplete: "off",
    spellcheck: "false",
  });
  private readonly count = element("span", { class: "count", role: "status" });
  private readonly body = element("tbody");
  private readonly nothing = element("p", { class: "quiet" });
  private readonly rows: readonly { readonly row: HTMLTableRowElement; readonly words: string }[];

  constructor(
    place: HTMLElement,
    private readonly list: StudyList,
  ) {
    this.rows = list.studies.map((study) => ({ row: rowOf(list.tenant, study), words: words(study) }));
    const heads = ["patient", "patient-id", "date", "modality", "description"] as const;
    const table = element(
      "table",
      { class: "studies" },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          ...heads.map((head) => element("th", { scope: "col" }, text("page", head))),
          element("th", { scope: "col", class: "number" }, text("page", "series")),
          element("th", { scope: "col", class: "number" }, text("page", "objects")),
          element("th", { scope: "col", class: "state" }, text("page", "shown")),
        ),
      ),
      this.body,
    );
    fill(
      place,
      element("div", { class: "bar" }, element("h1", {}, text("page", "studies")), this.search, this.count),
      element("div", { class: "table" }, table, this.nothing),
    );
    this.search.addEventListener("input", () => this.filter());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.move(event, 1);
      if (event.key === "Enter") this.body.querySelector("a")?.click();
    });
    this.filter();
    this.search.focus();
  }

  key(event: KeyboardEvent): void {
    if (event.key === "/" && event.target !== this.search) {
      event.preventDefault();
      this.search.focus();
    } else if (event.key === "ArrowDown") this.move(event, 1);
    else if (event.key === "ArrowUp") this.move(event, -1);
  }

  private move(event: KeyboardEvent, step: number): void {
    event.preventDefault();
    event.stopPropagation();
    const links = [...this.body.querySelectorAll("a")];
    const at = links.findIndex((link) => link === document.activeElement);
    if (at + step < 0) this.search.focus();
    else links[Math.min(at + step, links.length - 1)]?.focus();
  }

  private filter(): void {
    const query = this.search.value.trim().toLowerCase();
    const parts = query.split(/\s+/);
    const found = this.rows.filter(({ words }) => parts.every((part) => words.includes(part)));
    fill(this.body, ...found.map(({ row }) => row));
    const { total, studies } = this.list;
    const only = studies.length < total ? ` · ${text("page", "only-newest", { shown: studies.length })}` : "";
    fill(this.count, text("page", "found", { found: found.length, total }) + only);
    this.nothing.hidden = found.length > 0;
    if (studies.length > 0) fill(this.nothing, text("page", "nothing-found", { query }));
    else fill(this.nothing, text("page", "no-studies"), " ", text("page", "no-studies-hint"));
  }
}

function words(study: StudySummary): string {
  const { main, other } = personName(study.PatientName ?? "");
  return [
    main,
    other,
    study.PatientID,
    study.AccessionNumber,
    study.StudyDescription,
    study.StudyDate,
    formatDate(study.StudyDate ?? ""),
    ...(study.ModalitiesInStudy ?? []),
    study.StudyInstanceUID,
  ]
    .join(" ")
    .toLowerCase();
}

function rowOf(tenant: string, study: StudySummary): HTMLTableRowElement {
  const { main, other } = personName(study.PatientName ?? "");
  const address = formatRoute({ tenant, study: study.StudyInstanceUID });
  const missing = study.failed ?? study.not_shown ?? 0;
  const row = element(
    "tr",
    {},
    element(
      "td",
      { class: "patient" },
      element("a", { href: address }, main || text("page", "unnamed")),
      other && element("span", { class: "other" }, other),
    ),
    element("td", { class: "id" }, study.PatientID ?? ""),
    element(
      "td",
      { class: "date" },
      formatDate(study.StudyDate ?? ""),
      element("span", { class: "other" }, formatTime(study.StudyTime ?? "")),
    ),
    element(
      "td",
      {},
      ...(study.ModalitiesInStudy ?? []).map((each) => element("span", { class: "modality" }, each)),
    ),
    element("td", { class: "description" }, study.StudyDescription ?? ""),
    element("td", { class: "number" }, study.NumberOfStudyRelatedSeries ?? ""),
    element("td", { class: "number" }, study.NumberOfStudyRelatedInstances ?? ""),
    element(
      "td",
      { class: "state" },
      missing > 0
        ? element("span", { class: "badge fail" }, text("page", "not-shown-number", { number: missing }))
        : element("span", { class: "fine" }, text("page", "all-shown")),
    ),
  );
  // The whole row is a large target; the link in it is for keys, and for opening in a new tab.
  row.addEventListener("click", (event) => {
    if (!(event.target instanceof HTMLAnchorElement)) row.querySelector("a")?.click();
  });
  return row;
}
