import { describe, expect, it } from "vitest";
import { captionLines, currentWord } from "../src/captions";
import type { Word } from "../src/turn";

const words: Word[] = "Hello there I am happy to see you again today".split(" ")
  .map((text, i) => ({ text, start: i * 300, end: i * 300 + 250 }));
const shown = (ms: number) => captionLines(words, ms, 12).map((line) => line.words.join(" "));

describe("captions", () => {
  it("show nothing that was not heard yet", () => {
    expect(captionLines(words, -1, 12)).toEqual([]);
    expect(shown(0)).toEqual(["Hello"]);
    expect(shown(299)).toEqual(["Hello"]);
    expect(shown(300)).toEqual(["Hello there"]);
  });

  it("have two lines at most, and no line is longer than the width", () => {
    for (let ms = 0; ms < 3300; ms += 50) {
      const lines = shown(ms);
      expect(lines.length).toBeLessThanOrEqual(2);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(12);
    }
    expect(shown(9999)).toEqual(["to see you", "again today"]);
  });

  it("never move a word to another line", () => {
    let before = shown(0);
    for (let ms = 0; ms < 3300; ms += 50) {
      const now = shown(ms);
      const last = before.at(-1)!;
      expect(now.some((line) => line.startsWith(last))).toBe(true);
      before = now;
    }
  });

  it("mark the word being heard, and none in a pause", () => {
    expect(captionLines(words, 310, 12)[0]!.current).toBe(1);
    expect(captionLines(words, 560, 12)[0]!.current).toBe(-1);
    expect(currentWord(words, 560)).toBe(1);
  });
});
