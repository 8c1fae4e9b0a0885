/** Which curves are shown where: groups of the face, what moves before what rests. */

import { BLENDSHAPES } from "../src";

/** A curve that never exceeds this cannot be seen on the head. */
export const QUIET = 0.02;

export interface Row {
  name: string;
  curve: Float32Array;
  /** Highest value, 0..1. */
  peak: number;
}

export interface Group {
  title: string;
  rows: Row[];
  /** The top of its curves' scale: the least of a few round numbers that holds them. */
  top: number;
}

const GROUPS: [title: string, names: RegExp][] = [
  ["Mouth and jaw", /^(mouth|jaw|tongue)/],
  ["Eyes", /^eye/],
  ["Brows", /^brow/],
  ["Cheeks and nose", /^(cheek|nose)/],
];

/** All blendshapes in their groups, the most active first, left and right of a pair together. */
export function groups(curves: readonly Float32Array[]): Group[] {
  const all = BLENDSHAPES.map((name, shape): Row => ({ name, curve: curves[shape]!, peak: peak(curves[shape]!) }));
  return GROUPS.map(([title, names]) => {
    const rows = all.filter((row) => names.test(row.name));
    const strength = (row: Row) => highest(rows.filter((other) => pair(other) === pair(row)));
    const ordered = rows.toSorted((a, b) => strength(b) - strength(a));
    const most = highest(rows);
    return { title, rows: ordered, top: [0.25, 0.5, 0.75].find((step) => most <= step) ?? 1 };
  });
}

function pair(row: Row): string {
  return row.name.replace(/(Left|Right)$/, "");
}

function highest(rows: readonly Row[]): number {
  return Math.max(...rows.map((row) => row.peak));
}

function peak(curve: Float32Array): number {
  let most = 0;
  for (const value of curve) if (value > most) most = value;
  return most;
}
