// The JSON that the pipeline writes: the list of a tenant's studies, and one manifest per study in
// OHIF's `dicomjson` form with what was done with each object.

export type Action = "keep" | "transcode" | "extract_video" | "no_pixels" | "fail" | "pending";

export interface StudySummary {
  readonly StudyInstanceUID: string;
  readonly PatientName?: string | null;
  readonly PatientID?: string | null;
  readonly StudyDate?: string | null;
  readonly StudyTime?: string | null;
  readonly StudyDescription?: string | null;
  readonly AccessionNumber?: string | null;
  readonly ModalitiesInStudy?: readonly string[];
  readonly NumberOfStudyRelatedSeries?: number;
  readonly NumberOfStudyRelatedInstances?: number;
  readonly shown?: number;
  /** Objects without an image, those that wait, and those that failed. */
  readonly not_shown?: number;
  /** Objects that should have an image, and have none that is right. */
  readonly failed?: number;
}

export interface StudyList {
  readonly tenant: string;
  readonly total: number;
  readonly studies: readonly StudySummary[];
}

/** What the pipeline did with an object. */
export interface Rendition {
  readonly action: Action;
  readonly rule?: string | null;
  readonly reason?: string | null;
  readonly error_code?: string | null;
  readonly original_transfer_syntax?: string | null;
  readonly transfer_syntax?: string | null;
  readonly media_type?: string | null;
  readonly frames?: number | null;
}

/** DICOM attributes by keyword, as far as the manifest has them. */
export type Metadata = Readonly<Record<string, unknown>> & { readonly SOPInstanceUID: string };

export interface Instance {
  readonly metadata: Metadata;
  /** `dicomweb:` and an address, a video's plain address, or null: nothing can be shown. */
  readonly url: string | null;
  readonly rendition: Rendition;
}

export interface Series {
  readonly SeriesInstanceUID: string;
  readonly SeriesNumber?: number | string | null;
  readonly SeriesDate?: string | null;
  readonly SeriesDescription?: string | null;
  readonly Modality?: string | null;
  readonly instances: readonly Instance[];
}

export interface Study {
  readonly StudyInstanceUID: string;
  readonly StudyDate?: string | null;
  readonly StudyTime?: string | null;
  readonly StudyDescription?: string | null;
  readonly PatientName?: string | null;
  readonly PatientID?: string | null;
  readonly PatientSex?: string | null;
  readonly PatientBirthDate?: string | null;
  readonly AccessionNumber?: string | null;
  readonly series: readonly Series[];
}

/** The studies of a tenant, newest first. */
export async function fetchStudies(tenant: string): Promise<StudyList> {
  const list = (await fetchJson(`/manifests/${tenant}/studies.json`)) as Partial<StudyList>;
  if (!Array.isArray(list.studies)) throw new Error("the list of studies has no studies");
  return { tenant, total: list.total ?? list.studies.length, studies: list.studies };
}

/** One study with its series and objects. */
export async function fetchStudy(tenant: string, uid: string): Promise<Study> {
  const manifest = (await fetchJson(`/manifests/${tenant}/${encodeURIComponent(uid)}.json`)) as {
    studies?: WrittenStudy[];
  };
  const study = manifest.studies?.find((each) => each.StudyInstanceUID === uid);
  if (!study || !Array.isArray(study.series)) throw new Error("the manifest has no such study");
  return { ...study, series: wholeSeries(study) };
}

/**
 * A study as it is written, so that OHIF can read it too: OHIF takes only what can be opened in
 * `series`, with an entry of its own, without `rendition`, for each further frame.
 */
interface WrittenStudy extends Study {
  /** The objects that cannot be opened, in the same form. */
  readonly not_shown?: readonly Series[];
}

/** The series with all their objects, one entry each, in the order of the series' numbers. */
export function wholeSeries(study: WrittenStudy): Series[] {
  const whole = new Map<string, Series>();
  for (const series of [...study.series, ...(study.not_shown ?? [])]) {
    const uid = series.SeriesInstanceUID;
    const objects = series.instances.filter(({ rendition }) => rendition !== undefined);
    const instances = [...(whole.get(uid)?.instances ?? []), ...objects];
    whole.set(uid, { ...series, ...whole.get(uid), instances });
  }
  const number = ({ SeriesNumber }: Series): number => Number(SeriesNumber ?? Infinity);
  return [...whole.values()].sort((one, other) => number(one) - number(other) || 0);
}

/** A file could not be had; `status` is HTTP's, 0 when the server could not be reached. */
export class FetchError extends Error {
  constructor(readonly status: number) {
    super(`status ${status}`);
  }
}

async function fetchJson(address: string): Promise<unknown> {
  const response = await fetch(address, { credentials: "same-origin" }).catch(() => {
    throw new FetchError(0);
  });
  if (!response.ok) throw new FetchError(response.status);
  return response.json();
}
