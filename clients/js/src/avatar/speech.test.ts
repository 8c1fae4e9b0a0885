import { expect, test } from "vitest";
import { COUNT, shape } from "./arkit";
import { ATTACK, RELEASE, SpeechBlend } from "./speech";

const JAW = shape("jawOpen");
const CLOSE = shape("mouthClose");
const FRAME = 1 / 60;

function face(values: Record<string, number> = {}): Float32Array {
  const weights = new Float32Array(COUNT);
  for (const [name, value] of Object.entries(values)) weights[shape(name)] = value;
  return weights;
}

test("after the attack every frame is shown as it came: closures are not smeared", () => {
  const blend = new SpeechBlend();
  const out = face();
  for (let t = 0; t < ATTACK + FRAME; t += FRAME) {
    blend.speak(face({ jawOpen: 0.6 }));
    blend.mix(face(), FRAME, out);
  }
  expect(out[JAW]).toBeCloseTo(0.6);
  const closed = face({ jawOpen: 0, mouthPressLeft: 0.5 });
  blend.speak(closed);
  blend.mix(face({ mouthSmileLeft: 0.2 }), FRAME, out);
  expect(out).toEqual(closed);
});

test("the mouth closes within 150 ms of the end of speech, without a jump", () => {
  const blend = new SpeechBlend();
  const out = face();
  blend.speak(face({ jawOpen: 0.8 }));
  blend.mix(face(), 1, out);
  blend.speak(null);
  let before = out[JAW]!;
  let seconds = 0;
  while (out[JAW]! > 0 && seconds < 1) {
    blend.mix(face(), FRAME, out);
    expect(before - out[JAW]!).toBeLessThan(0.8 * 0.2);
    before = out[JAW]!;
    seconds += FRAME;
  }
  expect(seconds).toBeGreaterThan(0.09);
  expect(seconds).toBeLessThanOrEqual(RELEASE + FRAME);
  expect(RELEASE + FRAME).toBeLessThan(0.15);
});

test("lips never close further than the jaw is open", () => {
  const blend = new SpeechBlend();
  const out = face();
  blend.speak(face({ jawOpen: 0.2, mouthClose: 0.7 }));
  blend.mix(face(), 1, out);
  expect(out[CLOSE]).toBeCloseTo(0.2);
});

test("weights out of range and NaN do no harm; another number of weights is an error", () => {
  const blend = new SpeechBlend();
  const out = face();
  blend.speak(face({ jawOpen: Number.NaN, mouthPucker: 3, mouthFunnel: -1 }));
  blend.mix(face(), 1, out);
  expect([out[JAW], out[shape("mouthPucker")], out[shape("mouthFunnel")]]).toEqual([0, 1, 0]);
  expect(() => blend.speak(new Float32Array(51))).toThrow(/52.*51/);
});

test("what the caller does to its array afterwards is not seen", () => {
  const blend = new SpeechBlend();
  const out = face();
  const weights = face({ jawOpen: 0.5 });
  blend.speak(weights);
  weights.fill(1);
  blend.mix(face(), 1, out);
  expect(out[JAW]).toBeCloseTo(0.5);
});
