// What keys, mouse and fingers do.
import { button, element } from "./dom";
import { text } from "./language";

const KEYS = [
  "wheel", "ends", "series", "drag", "right-drag", "middle-drag", "space", "step", "numbers",
  "reset", "invert", "search", "escape", "help",
] as const;

export function showHelp(): void {
  if (document.querySelector("dialog")) return;
  const dialog = element(
    "dialog",
    { class: "help", "aria-label": text("page", "help") },
    element("h2", {}, text("page", "help")),
    element(
      "dl",
      {},
      ...KEYS.flatMap((key) => [
        element("dt", {}, text("keys", key)),
        element("dd", {}, text("keys", `${key}-does`)),
      ]),
    ),
    button(text("page", "close"), () => dialog.close()),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
