// The page of studies: its address says what is shown.
import { button, element, fill } from "./dom";
import { showHelp } from "./help";
import { chooseLanguage, language, otherLanguage, text } from "./language";
import { formatRoute, parseRoute } from "./route";
import { showStudies } from "./studies";
import { showStudy } from "./study";
import type { View } from "./view";

const head = element("header", { class: "head" });
const place = element("main");
let view: View = {};
let opening = 0;

async function open(): Promise<void> {
  opening += 1;
  const turn = opening;
  const route = parseRoute(location.search);
  view.dispose?.();
  view = {};
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  place.className = route.study ? "view-study" : "view-studies";
  showHead(route.tenant);
  const opened = route.study
    ? await showStudy(place, { ...route, study: route.study }, () => turn === opening)
    : await showStudies(place, route);
  if (turn === opening) view = opened;
  else opened.dispose?.();
}

function showHead(tenant: string): void {
  const other = otherLanguage();
  fill(
    head,
    element("a", { class: "brand", href: formatRoute({ tenant }) }, "dicom-pipeline"),
    element("span", { class: "tenant" }, `${text("page", "tenant")} `, element("b", {}, tenant)),
    element("span", { class: "space" }),
    button("?", showHelp, { title: text("page", "help"), "aria-label": text("page", "help") }),
    button(
      other.name,
      () => {
        chooseLanguage(other.code);
        void open();
      },
      { lang: other.code, class: "language" },
    ),
  );
}

/** Goes to another address of this page without loading it anew. */
function go(address: string): void {
  history.pushState(null, "", address);
  void open();
}

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
  if (!link?.getAttribute("href")?.startsWith("?") || !plain) return;
  event.preventDefault();
  go(link.getAttribute("href") ?? "");
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog")) return;
  const { target } = event;
  const typing =
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLInputElement && target.type !== "range");
  // These answer to the space bar themselves.
  if (event.key === " " && target instanceof Element && target.closest("button, video")) return;
  if (event.key === "Escape" && parseRoute(location.search).study) {
    go(formatRoute({ tenant: parseRoute(location.search).tenant }));
  } else if (event.key === "?" && !typing) showHelp();
  else if (!typing) view.key?.(event);
});

window.addEventListener("popstate", () => void open());

document.body.append(head, place);
void open();
