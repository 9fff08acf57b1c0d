/** Stands in for xmlbuilder2: no page here writes XML. */
export function create() {
  throw new Error("XML is not written here");
}
