import { expect, test } from "vitest";
import { type Subject, frame } from "./framing";

const bust: Subject = { eyes: { x: 0, y: 0.65, z: 0 }, top: 0.77, bottom: 0.43, halfWidth: 0.108 };

/** Edges of the picture at the head, metres. */
function edges(subject: Subject, aspect: number) {
  const { height, centreY } = frame(subject, aspect);
  return { top: centreY + height / 2, bottom: centreY - height / 2, width: height * aspect };
}

test.each([0.3, 0.46, 0.75, 1, 1.33, 1.78, 2.4])("at aspect %f the hair has air and the cut of the bust is never seen", (aspect) => {
  const { top, bottom, width } = edges(bust, aspect);
  expect(top).toBeGreaterThan(bust.top);
  expect(bottom).toBeGreaterThanOrEqual(bust.bottom - 1e-9);
  expect(width).toBeGreaterThanOrEqual(2 * bust.halfWidth - 1e-9);
});

test("a whole body has its eyes at the upper third", () => {
  const { height, centreY } = frame({ ...bust, bottom: -Infinity }, 1.5);
  expect((centreY + height / 2 - bust.eyes.y) / height).toBeCloseTo(1 / 3, 6);
});

test("wide windows differ only at the sides, so that a wide still fits under the live picture", () => {
  expect(frame(bust, 2)).toEqual(frame(bust, 1));
});
