import { expect, test } from "vitest";
import { BLENDSHAPES } from "../src";
import { type Answer, pcm16, Recording } from "../face/recording";
import { objection } from "../face/server";
import { groups, QUIET } from "../face/shapes";
import { clock, loudness, stretch, within } from "../face/time";

function base64(samples: number[]): string {
  return btoa(String.fromCharCode(...new Uint8Array(Int16Array.from(samples).buffer)));
}

function answer(frames: number[][], names: string[], fps = 30, samples = (frames.length / fps) * 3000): Answer {
  return {
    engine: "net", elapsed: 0.1, stats: { seconds: 1, frames: frames.length, closures: 0 },
    track: { fps, names, frames }, sound: { rate: 3000, pcm: base64(Array.from({ length: samples }, () => 0)) },
  };
}

test("sound comes back as it was sent", () => {
  expect(Array.from(pcm16(base64([0, 1, -1, 32767, -32768])))).toEqual([0, 1, -1, 32767, -32768]);
});

test("curves are found by their names, whatever the order; missing ones are at rest", () => {
  const recording = new Recording(answer([[0.25, 0.5], [1, 0]], ["tongueOut", "jawOpen"]));
  const weights = recording.weights(0);
  expect(weights[BLENDSHAPES.indexOf("jawOpen")]).toBe(0.5);
  expect(weights[BLENDSHAPES.indexOf("tongueOut")]).toBe(0.25);
  expect(weights.reduce((sum, weight) => sum + weight)).toBe(0.75);
});

test.each([24, 25, 30, 60])("every frame is found at its beginning and in its middle (%i a second)", (fps) => {
  const recording = new Recording(answer(Array.from({ length: 2 * fps }, () => [0]), ["jawOpen"], fps));
  for (let frame = 0; frame < 2 * fps; frame++) {
    expect(recording.frameAt(frame / fps)).toBe(frame);
    expect(recording.frameAt(recording.timeOf(frame))).toBe(frame);
  }
  expect(recording.frameAt(-1)).toBe(0);
  expect(recording.frameAt(100)).toBe(2 * fps - 1);
  expect(recording.frameAt(recording.timeOf(1e6))).toBe(2 * fps - 1);
  expect(recording.frameAt(recording.timeOf(-1))).toBe(0);
});

test("all 52 blendshapes are in one group each, the most active first, pairs together", () => {
  const curves = BLENDSHAPES.map(() => new Float32Array(4));
  curves[BLENDSHAPES.indexOf("jawOpen")]![2] = 0.3;
  curves[BLENDSHAPES.indexOf("mouthSmileRight")]![1] = 0.4;
  curves[BLENDSHAPES.indexOf("mouthSmileLeft")]![1] = 0.1;
  curves[BLENDSHAPES.indexOf("eyeBlinkLeft")]![0] = 1;
  const [mouth, eyes, brows, cheeks] = groups(curves);
  const names = [mouth, eyes, brows, cheeks].flatMap((group) => group!.rows.map((row) => row.name));
  expect(names.toSorted()).toEqual(BLENDSHAPES.toSorted());
  expect(mouth!.rows.slice(0, 3).map((row) => row.name)).toEqual(["mouthSmileLeft", "mouthSmileRight", "jawOpen"]);
  expect(eyes!.rows[0]!.name).toBe("eyeBlinkLeft");
  expect([mouth!.top, eyes!.top, brows!.top]).toEqual([0.5, 1, 0.25]);
  expect(mouth!.rows.filter((row) => row.peak >= QUIET)).toHaveLength(3);
});

test("the curves show pages of the recording; the last one is full", () => {
  expect(stretch(3, 4, 6)).toEqual({ start: 0, end: 4 });
  expect(stretch(5.99, 20, 6)).toEqual({ start: 0, end: 6 });
  expect(stretch(6, 20, 6)).toEqual({ start: 6, end: 12 });
  expect(stretch(20, 20, 6)).toEqual({ start: 14, end: 20 });
  for (let time = 0; time <= 20; time += 0.37) {
    const { start, end } = stretch(time, 20, 6);
    expect(start <= time && time <= end).toBe(true);
  }
  expect(within({ start: 6, end: 12 }, 9)).toBe(0.5);
  expect(within({ start: 0, end: 0 }, 1)).toBe(0);
});

test("clocks", () => {
  expect(clock(0)).toBe("0:00.00");
  expect(clock(75.32)).toBe("1:15.32");
  expect(clock(59.999)).toBe("0:59.99");
  expect(clock(600)).toBe("10:00.00");
});

test("the loudest sample of every part is seen, none is left out", () => {
  const samples = new Int16Array(1000);
  samples[0] = 16384;
  samples[999] = -32768;
  expect(Array.from(loudness(samples, 3))).toEqual([0.5, 0, 1]);
});

test("files that are empty or too large are not sent", () => {
  const offer = { engine: "net", engines: ["net"], maxBytes: 50 * 2 ** 20, maxSeconds: 600, recording: null };
  expect(objection({ name: "a.wav", size: 1 }, offer)).toBeNull();
  expect(objection({ name: "a.wav", size: offer.maxBytes }, offer)).toBeNull();
  expect(objection({ name: "a.wav", size: 0 }, offer)).toBe("a.wav is empty.");
  expect(objection({ name: "a.wav", size: offer.maxBytes + 1 }, offer)).toMatch(/51 MB, and 50 MB is the most/);
});
