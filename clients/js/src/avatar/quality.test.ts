import { expect, test } from "vitest";
import { FrameBudget } from "./quality";

/** Feeds frames of one length until something changes or `frames` have passed. */
function feed(budget: FrameBudget, milliseconds: number, frames: number): number {
  let changes = 0;
  for (let i = 0; i < frames; i++) changes += budget.note(milliseconds) ? 1 : 0;
  return changes;
}

test("a screen of any density is drawn with at most two pixels per CSS pixel", () => {
  expect(new FrameBudget(3, false).pixelRatio).toBe(2);
  expect(new FrameBudget(1, false).pixelRatio).toBe(1);
});

test("quick frames keep the quality", () => {
  const budget = new FrameBudget(2, false);
  expect(feed(budget, 16.7, 1000)).toBe(0);
  expect(budget).toMatchObject({ pixelRatio: 2, interval: 0 });
});

test("slow frames cost pixels first, then frames, down to 15 a second and no further", () => {
  const budget = new FrameBudget(2, false);
  feed(budget, 130, 24);
  expect(budget).toMatchObject({ pixelRatio: 1.5, interval: 0 });
  feed(budget, 130, 24 * 3);
  expect(budget).toMatchObject({ pixelRatio: 0.5, interval: 0 });
  expect(feed(budget, 130, 1000)).toBe(1);
  expect(budget.pixelRatio).toBe(0.5);
  expect(budget.interval).toBeCloseTo(66.7, 1);
});

test("a stutter, as when a model loads, is no reason", () => {
  const budget = new FrameBudget(1, false);
  for (let i = 0; i < 50; i++) expect(feed(budget, 16.7, 9) + feed(budget, 400, 1)).toBe(0);
});

test("software starts at 15 frames a second and gives up pixels when even that is too much", () => {
  const budget = new FrameBudget(2, true);
  expect(budget.pixelRatio).toBe(1);
  expect(feed(budget, 68, 1000)).toBe(0);
  feed(budget, 120, 24);
  expect(budget.pixelRatio).toBe(0.75);
});
