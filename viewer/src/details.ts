// What is known of an object: how it came, what was done with it and why, how it is shown.
import { element, fill } from "./dom";
import { type Item, numberOf, pathOf, textOf } from "./items";
import { ruleMeaning, text } from "./language";
import sopClasses from "./tables/sop-classes.json";
import transferSyntaxes from "./tables/transfer-syntaxes.json";

/** A SOP class by its name in the standard. */
export function sopClassName(uid: string): string {
  return (sopClasses as Record<string, string>)[uid] ?? text("facts", "unknown-class");
}

/** A transfer syntax by its name in the standard. */
export function syntaxName(uid: string): string {
  return (transferSyntaxes as Record<string, string>)[uid] ?? text("facts", "unknown-syntax");
}

export function showDetails(place: HTMLElement, item: Item): void {
  const { metadata, rendition, url } = item.instance;
  const meaning = ruleMeaning(rendition.rule);
  const path = pathOf(url);
  fill(
    place,
    element("h2", {}, text("page", "details")),
    element(
      "p",
      { class: "done" },
      element("span", { class: `badge ${rendition.action}` }, text("actions", rendition.action)),
      " ",
      text("done", rendition.action),
    ),
    element(
      "dl",
      {},
      ...fact("original", ...syntax(rendition.original_transfer_syntax)),
      ...(rendition.media_type === "video/mp4"
        ? fact("target", text("facts", "video-file"))
        : fact("target", ...syntax(rendition.transfer_syntax))),
      ...fact("why", meaning ?? rendition.reason),
      ...fact("rule", rendition.rule && element("code", {}, rendition.rule)),
      ...(meaning === undefined || rendition.action === "keep" ? [] : fact("reason", rendition.reason)),
      ...fact("verified", path && rendition.frames),
    ),
    element(
      "dl",
      {},
      ...fact(
        "kind",
        sopClassName(textOf(metadata["SOPClassUID"])),
        element("code", {}, textOf(metadata["SOPClassUID"])),
      ),
      ...fact("number", textOf(metadata["InstanceNumber"])),
      ...fact("size", sizeOf(item)),
      ...fact("bits", bitsOf(item)),
      ...fact("photometric", textOf(metadata["PhotometricInterpretation"])),
      ...fact("uid", element("code", {}, metadata.SOPInstanceUID)),
      ...fact("file", path && element("a", { href: path, download: true }, text("facts", "open-file"))),
    ),
    element("p", { class: "quiet" }, text("facts", "untouched")),
  );
}

type Value = Node | string | number | null | undefined | false;

function fact(name: Parameters<typeof text<"facts">>[1], ...values: Value[]): HTMLElement[] {
  const present = values.filter((value) => value !== null && value !== undefined && value !== "" && value !== false);
  if (present.length === 0) return [];
  return [element("dt", {}, text("facts", name)), element("dd", {}, ...present)];
}

function syntax(uid: string | null | undefined): Value[] {
  return uid ? [syntaxName(uid), element("code", {}, uid)] : [];
}

function sizeOf({ instance: { metadata }, frames }: Item): string {
  const [rows, columns] = [numberOf(metadata["Rows"]), numberOf(metadata["Columns"])];
  if (!rows || !columns) return "";
  return `${columns} × ${rows}${frames > 1 ? ` × ${frames}` : ""}`;
}

function bitsOf({ instance: { metadata } }: Item): string {
  const [allocated, stored] = [numberOf(metadata["BitsAllocated"]), numberOf(metadata["BitsStored"])];
  if (!allocated || !stored) return "";
  const sign = text("facts", numberOf(metadata["PixelRepresentation"]) === 1 ? "signed" : "unsigned");
  return text("facts", "bits-of", { stored, allocated, sign });
}
