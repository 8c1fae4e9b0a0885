/** Where a viewer of a live stream should be: pure. */

/** Seconds behind the newest picture: what is wanted, what is caught up with by speed, what by a jump. */
export const WANTED = 0.3;
const LATE = 0.6;
const LOST = 2;
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
export function keepUp(now: number, start: number, end: number, rate: number): Keeping {
  const behind = end - now;
  if (behind > LOST || now < start - 0.01 || behind < -0.01) return { rate: 1, seek: Math.max(start, end - WANTED) };
  if (behind > LATE) return { rate: HURRY };
  return { rate: behind <= WANTED ? 1 : rate };
}

/** The time before which everything may be forgotten, or null. */
export function forgettable(now: number, start: number): number | null {
  return now - start > GATHERED ? now - KEPT : null;
}
