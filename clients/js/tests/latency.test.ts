import { describe, expect, it } from "vitest";
import { segments } from "../src/latency";

describe("latency segments", () => {
  it("add up to the time until the first sound", () => {
    const parts = segments(
      { speechEnd: 0, endOfTurn: 200, transcript: 300, firstToken: 420, firstAudio: 500, firstFrame: 510, sent: 512, played: 600 }, 20);
    expect(parts.map(({ name, ms }) => [name, ms])).toEqual([
      ["hearing", 200], ["understanding", 100], ["thinking", 120], ["voice", 80], ["face", 10], ["network", 12], ["speaker", 78],
    ]);
  });

  it("show the wait for the end of the turn when the answer was ready before it", () => {
    const parts = segments(
      { speechEnd: 0, transcript: 290, firstToken: 340, firstAudio: 420, firstFrame: 430, endOfTurn: 610, sent: 615, played: 700 }, 0);
    expect(parts.map(({ name }) => name)).toEqual(
      ["understanding", "thinking", "voice", "face", "hearing", "network", "speaker"]);
    expect(parts.reduce((sum, { ms }) => sum + ms, 0)).toBe(700);
  });

  it("leave out what did not apply, and nothing is negative", () => {
    const parts = segments({ speechEnd: 0, firstToken: -5, firstAudio: 100, firstFrame: 90 }, 50);
    expect(parts.map(({ name, ms }) => [name, ms])).toEqual([["face", 90], ["voice", 10]]);
  });

  it("tint what is slow", () => {
    const slow = segments({ speechEnd: 0, firstToken: 2000, firstAudio: 2050 }, 0).filter((part) => part.slow);
    expect(slow.map(({ name }) => name)).toEqual(["thinking"]);
  });
});
