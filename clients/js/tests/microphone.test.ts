import { afterEach, describe, expect, it, vi } from "vitest";
import { Microphone, MicrophoneError, loudness, microphoneError } from "../src/microphone";

afterEach(() => vi.unstubAllGlobals());

describe("loudness", () => {
  it("is 0 dB for a full square wave, -6 for half of it, -100 for silence", () => {
    expect(loudness(new Int16Array(512).fill(-32768))).toBeCloseTo(0, 3);
    expect(loudness(new Int16Array(512).fill(16384))).toBeCloseTo(-6.02, 2);
    expect(loudness(new Int16Array(512))).toBe(-100);
    expect(loudness(new Int16Array(0))).toBe(-100);
  });
});

describe("microphone errors", () => {
  it.each([
    ["NotAllowedError", "denied"], ["SecurityError", "denied"], ["NotFoundError", "missing"],
    ["OverconstrainedError", "missing"], ["NotReadableError", "busy"], ["TypeError", "failed"],
  ])("%s is told as %s, with a next step", (name, problem) => {
    const error = microphoneError(new DOMException("", name));
    expect(error).toBeInstanceOf(MicrophoneError);
    expect(error.problem).toBe(problem);
    expect(error.message).toMatch(/press the button|type instead|address bar/i);
  });

  it("says that a page without https has no microphone", async () => {
    vi.stubGlobal("navigator", {});
    await expect(new Microphone().start()).rejects.toMatchObject({ problem: "insecure" });
  });
});
