// Values of the data set as people read them.

/** A DICOM date as 2026-11-22; anything else as it stands. */
export function formatDate(value: string | undefined): string {
  const parts = /^(\d{4})[.-]?(\d{2})[.-]?(\d{2})$/.exec((value ?? "").trim());
  return parts ? `${parts[1]}-${parts[2]}-${parts[3]}` : (value ?? "").trim();
}

/** A DICOM time as 14:03; empty when it is none. */
export function formatTime(value: string | undefined): string {
  const parts = /^(\d{2}):?(\d{2})/.exec((value ?? "").trim());
  return parts ? `${parts[1]}:${parts[2]}` : "";
}

/** Bytes in the largest unit that leaves a whole part. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A number with as many decimals as it needs, two at most. */
export function formatNumber(value: number): string {
  return String(Math.round(value * 100) / 100);
}
