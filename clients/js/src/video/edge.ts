/** Where a viewer of a live stream should be: pure. */

/** Seconds behind the newest picture: what is wanted at first, and at most. */
export const NEAREST = 0.15;
export const FARTHEST = 1;
/** What is caught up with: by speed, as many times as is wanted; by a jump, in seconds. */
const LATE = 2;
const LOST = 2;
/** How much farther behind is wanted when the stream has run dry, and how slowly that is taken back. */
const DRY = 1.5;
const PATIENT = 0.999;
const HURRY = 1.1;
/** Seconds kept behind the viewer, and how much more may gather before it is removed. */
const KEPT = 10;
const GATHERED = 20;

export interface Keeping {
  rate: number;
  /** Seconds to go to. */
  seek?: number;
}

/** `now` is the viewer's place, `[start, end]` the newest range that is here, `rate` the present speed. */
export function keepUp(now: number, start: number, end: number, rate: number, wanted = NEAREST): Keeping {
  const behind = end - now;
  if (behind > LOST || now < start - 0.01 || behind < -0.01) return { rate: 1, seek: Math.max(start, end - wanted) };
  if (behind > LATE * wanted) return { rate: HURRY };
  return { rate: behind <= wanted ? 1 : rate };
}

/** How far behind is wanted from now on: farther once the stream ran `dry`, else a little less each time. */
export function cushion(wanted: number, dry: boolean): number {
  return dry ? Math.min(FARTHEST, wanted * DRY) : Math.max(NEAREST, wanted * PATIENT);
}

/** The time before which everything may be forgotten, or null. */
export function forgettable(now: number, start: number): number | null {
  return now - start > GATHERED ? now - KEPT : null;
}
