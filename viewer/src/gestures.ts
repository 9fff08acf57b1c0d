// What mouse, pen and fingers do to the image.

export type Tool = "window" | "zoom" | "pan" | "scroll";

export interface Gestures {
  /** The tool of a plain drag. */
  tool(): Tool;
  /** By pixels since the last call; the first of a drag has `start`. */
  window(dx: number, dy: number, start: boolean): void;
  zoom(factor: number): void;
  pan(dx: number, dy: number): void;
  scroll(steps: number): void;
  reset(): void;
}

/** Pixels of dragging for one image. */
const STEP = 12;
const WHEEL_STEP = 40;
const PRIMARY = 0;
const MIDDLE = 1;
const SECONDARY = 2;

export function listen(place: HTMLElement, does: Gestures): void {
  const fingers = new Map<number, { x: number; y: number }>();
  let tool: Tool = "window";
  let travelled = 0;
  let start = false;

  place.addEventListener("contextmenu", (event) => event.preventDefault());
  place.addEventListener("dblclick", () => does.reset());

  let wheeled = 0;
  place.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (event.ctrlKey) {
        does.zoom(Math.exp(-event.deltaY / 500));
        return;
      }
      // A mouse wheel clicks in large steps, a touch pad glides in small ones.
      wheeled += event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * 33;
      const steps = Math.abs(event.deltaY) >= WHEEL_STEP ? Math.sign(wheeled) : Math.trunc(wheeled / WHEEL_STEP);
      if (steps === 0) return;
      wheeled = 0;
      does.scroll(steps);
    },
    { passive: false },
  );

  place.addEventListener("pointerdown", (event) => {
    if (event.target instanceof Element && event.target.closest("button, input, a, video")) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    place.setPointerCapture(event.pointerId);
    tool = chosen(event, does.tool());
    travelled = 0;
    start = true;
    if (event.button === MIDDLE) event.preventDefault();
  });

  place.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (fingers.size === 2) {
      const still = [...fingers].find(([id]) => id !== event.pointerId)?.[1] ?? last;
      const before = Math.hypot(last.x - still.x, last.y - still.y);
      const after = Math.hypot(event.clientX - still.x, event.clientY - still.y);
      if (before > 0 && after > 0) does.zoom(after / before);
      does.pan(dx / 2, dy / 2);
    } else if (tool === "window") {
      does.window(dx, dy, start);
      start = false;
    } else if (tool === "zoom") {
      does.zoom(Math.exp(-dy / 200));
    } else if (tool === "pan") {
      does.pan(dx, dy);
    } else {
      travelled += dy;
      const steps = Math.trunc(travelled / STEP);
      if (steps !== 0) does.scroll(steps);
      travelled -= steps * STEP;
    }
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });

  const release = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
  };
  place.addEventListener("pointerup", release);
  place.addEventListener("pointercancel", release);
}

function chosen(event: PointerEvent, plain: Tool): Tool {
  if (event.pointerType === "touch") return "scroll";
  if (event.button === SECONDARY) return "zoom";
  if (event.button === MIDDLE || (event.button === PRIMARY && event.shiftKey)) return "pan";
  return plain;
}
