// Names of persons as DICOM writes them (PS3.5 6.2.1).

export interface PersonName {
  /** The group to read first: ideographic, else alphabetic. */
  readonly main: string;
  /** The other representation; empty when there is none. */
  readonly other: string;
}

/** `Zhang^San=张^三` as 张三, Zhang San. */
export function personName(value: string | undefined): PersonName {
  const [alphabetic = "", ideographic = "", phonetic = ""] = (value ?? "").split("=");
  const latin = words(alphabetic).join(" ");
  // Chinese, Japanese and Korean names are written without a space between family and given name.
  const han = words(ideographic).join("");
  const main = han || latin || words(phonetic).join("");
  return { main, other: main === latin ? "" : latin };
}

function words(group: string): string[] {
  // Family and given name, middle name, prefix, suffix: the prefix leads.
  const [family = "", given = "", middle = "", prefix = "", suffix = ""] = group
    .split("^")
    .map((word) => word.trim());
  return [prefix, family, given, middle, suffix].filter((word) => word !== "");
}
