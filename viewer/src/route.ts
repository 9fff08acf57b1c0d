// What the page shows, as its address says it: a link to an image opens that image.

/** The product's default tenant. */
export const DEFAULT_TENANT = "default";

export interface Route {
  readonly tenant: string;
  /** StudyInstanceUID; none: the list of studies. */
  readonly study?: string;
  readonly series?: string;
  /** SOPInstanceUID. */
  readonly instance?: string;
  /** 1-based. */
  readonly frame?: number;
}

const TENANT = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** A UID, or what a sender takes for one: it becomes one part of a path. */
const UID = /^[A-Za-z0-9._-]{1,64}$/;

/** The route in the query of an address; what is not well-formed in it is left out. */
export function parseRoute(query: string): Route {
  const given = new URLSearchParams(query);
  const uid = (name: string): string | undefined => {
    const value = given.get(name) ?? "";
    return UID.test(value) && !/^\.+$/.test(value) ? value : undefined;
  };
  const tenant = given.get("tenant") ?? "";
  const study = uid("study");
  const series = study && uid("series");
  const instance = study && uid("instance");
  const frame = Number(given.get("frame"));
  return {
    tenant: TENANT.test(tenant) ? tenant : DEFAULT_TENANT,
    ...(study && { study }),
    ...(series && { series }),
    ...(instance && { instance }),
    ...(instance && Number.isInteger(frame) && frame > 1 && { frame }),
  };
}

/** The query of a route's address. */
export function formatRoute(route: Route): string {
  const query = new URLSearchParams({ tenant: route.tenant });
  for (const name of ["study", "series", "instance", "frame"] as const) {
    const value = route[name];
    if (value !== undefined) query.set(name, String(value));
  }
  return `?${query}`;
}
