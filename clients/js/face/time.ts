/** Time on the page: clocks, the stretch of time that the curves show, and the shape of a sound. */

/** Seconds that the curves show at once. */
export const SPAN = 6;

export interface Stretch {
  start: number;
  end: number;
}

/** The page of the recording that `time` lies on; the last one ends with the recording. */
export function stretch(time: number, seconds: number, span = SPAN): Stretch {
  if (seconds <= span) return { start: 0, end: seconds };
  const start = Math.min(Math.floor(Math.max(0, time) / span) * span, seconds - span);
  return { start, end: start + span };
}

/** Where `time` lies in a stretch, 0..1. */
export function within({ start, end }: Stretch, time: number): number {
  return end > start ? Math.min(1, Math.max(0, (time - start) / (end - start))) : 0;
}

/** 75.32 -> "1:15.32". */
export function clock(seconds: number): string {
  const hundredths = Math.floor(Math.max(0, seconds) * 100 + 1e-6);
  const minutes = Math.floor(hundredths / 6000);
  const rest = ((hundredths % 6000) / 100).toFixed(2);
  return `${minutes}:${rest.padStart(5, "0")}`;
}

/** The loudest sample of each of `columns` equal parts, 0..1. */
export function loudness(samples: Int16Array, columns: number): Float32Array {
  const peaks = new Float32Array(columns);
  for (let column = 0; column < columns; column++) {
    const end = Math.floor(((column + 1) * samples.length) / columns);
    let highest = 0;
    for (let i = Math.floor((column * samples.length) / columns); i < end; i++) {
      const value = Math.abs(samples[i]!);
      if (value > highest) highest = value;
    }
    peaks[column] = highest / 32768;
  }
  return peaks;
}
