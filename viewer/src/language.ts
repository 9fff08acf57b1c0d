// The page's words in the reader's language.
import en from "./texts/en.json";
import rules from "./texts/rules.json";
import zh from "./texts/zh.json";

export type Language = "en" | "zh";

/** What says why something is not shown: a title, what it means, what to do. */
export interface Explanation {
  readonly title: string;
  readonly means: string;
  readonly remedy: string;
}

type Texts = typeof en;
const TEXTS: Record<Language, Texts> = { en, zh };
const CHOICE = "viewer.language";

let current: Language = preferred();

/** The reader's choice, else the first of the browser's languages that the page speaks. */
function preferred(): Language {
  try {
    const choice = localStorage.getItem(CHOICE);
    if (choice === "en" || choice === "zh") return choice;
  } catch {
    // Storage may be refused: the browser's languages decide then.
  }
  for (const tag of navigator.languages) {
    const [language] = tag.toLowerCase().split("-");
    if (language === "en" || language === "zh") return language;
  }
  return "en";
}

export function language(): Language {
  return current;
}

export function otherLanguage(): { readonly code: Language; readonly name: string } {
  const code = current === "en" ? "zh" : "en";
  return { code, name: TEXTS[code].language };
}

export function chooseLanguage(chosen: Language): void {
  current = chosen;
  try {
    localStorage.setItem(CHOICE, chosen);
  } catch {
    // Then the choice holds until the page is loaded again.
  }
}

type Section = Exclude<keyof Texts, "language" | "errors" | "load">;
type Values = Readonly<Record<string, string | number>>;

/** One text with its `{places}` filled. */
export function text<S extends Section>(
  section: S,
  name: keyof Texts[S] & string,
  values: Values = {},
): string {
  return filled(TEXTS[current][section][name] as string, values);
}

/** Why the pipeline could not make an object showable, by its error code. */
export function failure(code: string | null | undefined): Explanation {
  const { errors } = TEXTS[current];
  return code && code in errors ? errors[code as keyof typeof errors] : errors.unknown;
}

/** Why the page could not load something. */
export function loadFailure(kind: keyof Texts["load"], values: Values): Explanation {
  const { title, means, remedy } = TEXTS[current].load[kind];
  return { title, means: filled(means, values), remedy };
}

/** What a rule of the pipeline means; nothing for a rule that this page does not know. */
export function ruleMeaning(rule: string | null | undefined): string | undefined {
  const meanings: Record<string, string[]> = rules;
  return rule ? meanings[rule]?.[current === "en" ? 0 : 1] : undefined;
}

function filled(template: string, values: Values): string {
  return template.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}
