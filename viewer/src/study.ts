// One study: its series, the image, and what was done with it.
import { element, fill } from "./dom";
import { loadFailure, text } from "./language";
import { FetchError, type Study, fetchStudy } from "./manifest";
import { message } from "./message";
import { personName } from "./person";
import { formatRoute, type Route } from "./route";
import { SeriesList } from "./series-list";
import { SeriesView } from "./series-view";
import type { View } from "./view";

type StudyRoute = Route & { readonly study: string };

export async function showStudy(
  place: HTMLElement,
  route: StudyRoute,
  isCurrent: () => boolean,
): Promise<View> {
  fill(place, element("p", { class: "quiet" }, text("page", "loading")));
  let study: Study;
  try {
    study = await fetchStudy(route.tenant, route.study);
  } catch (problem) {
    if (!isCurrent()) return {};
    const back = element("a", { href: formatRoute({ tenant: route.tenant }) }, text("page", "back"));
    const reason = problem instanceof FetchError ? `HTTP ${problem.status}` : String(problem);
    fill(place, message("fail", loadFailure("manifest", {}), { reason, again: back }));
    return {};
  }
  return isCurrent() ? new StudyView(place, study, route) : {};
}

/** Waits so long before the address follows: browsers refuse a page that changes it too often. */
const ADDRESS_DELAY = 250;

class StudyView implements View {
  private readonly list: SeriesList;
  private readonly series: SeriesView;
  private number: number;
  private timer = 0;

  constructor(
    place: HTMLElement,
    private readonly study: Study,
    private readonly route: StudyRoute,
  ) {
    const { main, other } = personName(study.PatientName ?? "");
    document.title = `${text("page", "study-of", { patient: main || text("page", "unnamed") })}`;
    this.list = new SeriesList(study, main || text("page", "unnamed"), other, (number) => this.open(number));
    const centre = element("section", { class: "centre" });
    const side = element("aside", { class: "details" });
    const back = element(
      "a",
      { class: "back", href: formatRoute({ tenant: route.tenant }) },
      `‹ ${text("page", "back")}`,
    );
    fill(place, element("nav", { class: "series" }, back, this.list.host), centre, side);
    this.series = new SeriesView(centre, side, study, (instance, frame) => this.remember(instance, frame));
    this.number = Math.max(
      0,
      study.series.findIndex(
        (each) =>
          each.SeriesInstanceUID === route.series ||
          (route.series === undefined &&
            each.instances.some(({ metadata }) => metadata.SOPInstanceUID === route.instance)),
      ),
    );
    if (study.series.length === 0) fill(centre, element("p", { class: "quiet" }, text("page", "no-series")));
    else this.open(this.number, route.instance, route.frame);
  }

  key(event: KeyboardEvent): void {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      event.preventDefault();
      const number = this.number + (event.key === "ArrowLeft" ? -1 : 1);
      if (number >= 0 && number < this.study.series.length) this.open(number);
    } else this.series.key(event);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.series.dispose();
  }

  private open(number: number, instance?: string, frame?: number): void {
    const series = this.study.series[number];
    if (!series) return;
    this.number = number;
    this.list.mark(number);
    this.series.open(series, instance, frame);
  }

  private remember(instance: string, frame: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      const series = this.study.series[this.number]?.SeriesInstanceUID;
      const { tenant, study } = this.route;
      const shown = { tenant, study, ...(series && { series }), instance, ...(frame > 1 && { frame }) };
      history.replaceState(null, "", formatRoute(shown));
    }, ADDRESS_DELAY);
  }
}
