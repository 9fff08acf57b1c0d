// A plain message in the place of an image.
import { element } from "./dom";
import { type Explanation, text } from "./language";

interface Additions {
  /** In the program's own words. */
  readonly reason?: string | null | undefined;
  readonly again?: HTMLElement | undefined;
}

export function message(
  kind: "fail" | "no_pixels" | "pending",
  { title, means, remedy }: Explanation,
  { reason, again }: Additions = {},
): HTMLElement {
  return element(
    "div",
    { class: `message ${kind}`, role: kind === "fail" ? "alert" : "status" },
    element("span", { class: `dot ${kind}`, "aria-hidden": "true" }),
    element("h2", {}, title),
    element("p", {}, means),
    remedy && element("p", { class: "remedy" }, remedy),
    reason &&
      element("p", { class: "reason" }, element("span", {}, text("facts", "reason")), element("code", {}, reason)),
    again,
  );
}
