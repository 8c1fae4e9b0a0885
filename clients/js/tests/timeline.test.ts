import { describe, expect, it } from "vitest";
import { Playhead } from "../src/playhead";
import { Turn } from "../src/turn";

const face = (value: number) => new Uint8Array(52).fill(value);
const sound = (value = 1) => new Int16Array(800).fill(value);

describe("Playhead", () => {
  it("counts on from the last report that is audible", () => {
    const head = new Playhead(24000);
    head.mark(1, 0, 1.0, true, 1);
    head.mark(1, 480, 1.02, true, 1);
    expect(head.at(0.99)).toBeNull();
    expect(head.at(1.01)).toEqual({ turn: 1, sample: 240, moving: true });
    expect(head.at(1.03)).toEqual({ turn: 1, sample: 720, moving: true });
  });

  it("stands still when playback does, and never runs past what is there", () => {
    const head = new Playhead(24000);
    head.mark(1, 0, 0, true, 0.1);
    expect(head.at(5)?.sample).toBe(2400);
    head.mark(1, 2400, 0.1, false, 0);
    expect(head.at(5)).toEqual({ turn: 1, sample: 2400, moving: false });
  });

  it("knows nothing after it was cleared", () => {
    const head = new Playhead(24000);
    head.mark(1, 0, 0, true, 1);
    head.clear();
    expect(head.at(0.5)).toBeNull();
  });
});

describe("Turn", () => {
  const make = () => new Turn(1, "turn_1", 30, 24000);

  it("skips the frames that it has already", () => {
    const turn = make();
    expect(turn.add(0, face(0), sound())).toHaveLength(1);
    expect(turn.add(1, face(0), sound())).toHaveLength(1);
    expect(turn.add(0, face(9), sound(9))).toEqual([]);
    expect(turn.add(2, face(0), sound())).toHaveLength(1);
    expect(turn.pcm()).toHaveLength(2400);
    expect(turn.pcm()).not.toContain(9);
  });

  it("puts silence where frames are missing, so that time stays right", () => {
    const turn = make();
    turn.add(0, face(100), sound());
    const parts = turn.add(3, face(200), sound(7));
    expect(parts.map((part) => part.length)).toEqual([800, 800, 800]);
    expect(turn.missing).toBe(2);
    expect(turn.end).toBe(4);
    expect(turn.pcm()[3 * 800]).toBe(7);
  });

  it("begins wherever its first frame is", () => {
    const turn = make();
    turn.add(5, face(255), sound());
    expect(turn.missing).toBe(0);
    expect(turn.end).toBe(6);
    expect(turn.face(5 * 800 + 400, new Float32Array(52))[0]).toBe(1);
  });

  it("moves the face smoothly between the middles of frames", () => {
    const turn = make();
    turn.add(0, face(0), sound());
    turn.add(1, face(255), sound());
    const out = new Float32Array(52);
    expect(turn.face(0, out)[0]).toBe(0);
    expect(turn.face(400, out)[0]).toBe(0);
    expect(turn.face(800, out)[0]).toBeCloseTo(0.5);
    expect(turn.face(1200, out)[0]).toBe(1);
    expect(turn.face(9999, out)[0]).toBe(1);
  });

  it("has exact frame edges when samples and frames do not divide", () => {
    const turn = new Turn(1, "turn_1", 30, 16000);
    const edges = [0, 1, 2, 3].map((frame) => turn.edge(frame));
    expect(edges).toEqual([0, 533, 1066, 1600]);
  });

  it("does not repeat words that are told again", () => {
    const turn = make();
    turn.addWord({ text: "Hello", start: 0, end: 400 });
    turn.addWord({ text: "there.", start: 400, end: 800 });
    turn.addWord({ text: "there.", start: 400, end: 800 });
    turn.addWord({ text: "How", start: 900, end: 1000 });
    expect(turn.words.map((word) => word.text)).toEqual(["Hello", "there.", "How"]);
  });
});

describe("what was said", () => {
  it("has words that began while playing, and only whole words once it was cut off", () => {
    const turn = new Turn(1, "turn_1", 30, 24000);
    turn.addWord({ text: "Good", start: 0, end: 300 });
    turn.addWord({ text: "morning", start: 320, end: 800 });
    expect(turn.spoken(500).map((word) => word.text)).toEqual(["Good", "morning"]);
    expect(turn.heard(500).map((word) => word.text)).toEqual(["Good"]);
  });
});

describe("clauseStart", () => {
  const turnOf = (text: string, each: number) => {
    const turn = new Turn(1, "turn_1", 30, 24000);
    for (const [i, word] of text.split(" ").entries()) {
      turn.addWord({ text: word, start: i * each, end: (i + 1) * each });
    }
    return turn;
  };

  it("is the word after the last punctuation", () => {
    const turn = turnOf("Hello there. I can help you, if you like", 250);
    expect(turn.clauseStart(1300)).toBe(500);
    expect(turn.clauseStart(2100)).toBe(1500);
    expect(turn.clauseStart(100)).toBe(0);
  });

  it("never goes back more than three seconds", () => {
    const turn = turnOf("one two three four five six seven eight nine ten eleven twelve", 500);
    expect(turn.clauseStart(5200)).toBe(2500);
    expect(turn.clauseStart(5000)).toBe(2000);
  });

  it("is the start when no words are known", () => {
    expect(new Turn(1, "turn_1", 30, 24000).clauseStart(1000)).toBe(0);
  });
});
