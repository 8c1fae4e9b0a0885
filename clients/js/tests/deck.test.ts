import { describe, expect, it } from "vitest";
import { Deck, type DeckCommand, type DeckReport } from "../src/audio/deck";

const RATE = 24000;
const QUANTUM = 128;
const FRAME = 800;

class Bench {
  readonly reports: DeckReport[] = [];
  private readonly deck: Deck;
  private samples = 0;

  constructor(private readonly outputRate = RATE) {
    this.deck = new Deck({ rate: RATE, outputRate, start: 3 * FRAME }, (report) => this.reports.push(report));
  }

  do(...commands: DeckCommand[]): void {
    for (const command of commands) this.deck.handle(command);
  }

  open(turn = 1, first = 0): void {
    this.do({ type: "open", turn, first });
  }

  push(count: number, value = 16384, turn = 1): void {
    this.do({ type: "push", turn, samples: new Int16Array(count).fill(value) });
  }

  /** The next `quanta` blocks of output. */
  run(quanta: number): number[] {
    const heard: number[] = [];
    for (let i = 0; i < quanta; i++) {
      const block = new Float32Array(QUANTUM);
      this.deck.process(block, this.samples / this.outputRate);
      this.samples += QUANTUM;
      heard.push(...block);
    }
    return heard;
  }

  get types(): string[] {
    return this.reports.map((report) => report.type);
  }
}

const loud = (samples: number[]) => samples.filter((value) => value !== 0).length;

describe("jitter buffer", () => {
  it("waits for three frames", () => {
    const bench = new Bench();
    bench.open();
    bench.push(3 * FRAME - 1);
    expect(loud(bench.run(10))).toBe(0);
    bench.push(1);
    expect(loud(bench.run(1))).toBe(QUANTUM);
  });

  it("starts a turn shorter than that once it is complete", () => {
    const bench = new Bench();
    bench.open();
    bench.push(FRAME);
    bench.do({ type: "end", turn: 1 });
    expect(loud(bench.run(10))).toBe(FRAME);
    expect(bench.reports.at(-1)).toMatchObject({ type: "done", turn: 1, sample: FRAME, time: FRAME / RATE });
  });

  it("plays every sample once, in order, also over an underrun", () => {
    const bench = new Bench();
    const given = Int16Array.from({ length: 8 * FRAME }, (_, i) => i + 1);
    bench.open();
    bench.do({ type: "push", turn: 1, samples: given.slice(0, 4 * FRAME) });
    const heard = bench.run(30);
    expect(bench.types).toContain("underrun");
    bench.do({ type: "push", turn: 1, samples: given.slice(4 * FRAME, 6 * FRAME) });
    expect(loud(bench.run(10))).toBe(0); // two frames are too few to begin again
    bench.do({ type: "push", turn: 1, samples: given.slice(6 * FRAME) }, { type: "end", turn: 1 });
    heard.push(...bench.run(40));
    const played = heard.filter((value) => value !== 0).map((value) => Math.round(value * 32768));
    expect(played).toEqual([...given]);
    expect(bench.types.at(-1)).toBe("done");
  });

  it("plays the next turn after the present one", () => {
    const bench = new Bench();
    bench.open(1);
    bench.push(4 * FRAME, 100, 1);
    bench.open(2);
    bench.push(4 * FRAME, 200, 2);
    bench.do({ type: "end", turn: 1 }, { type: "end", turn: 2 });
    const played = bench.run(80).filter((value) => value !== 0).map((value) => Math.round(value * 32768));
    expect(played).toEqual([...Array(4 * FRAME).fill(100), ...Array(4 * FRAME).fill(200)]);
  });

  it("reports positions from the turn's first sample", () => {
    const bench = new Bench();
    bench.open(1, 10 * FRAME);
    bench.push(4 * FRAME);
    bench.run(10);
    const places = bench.reports.filter((report) => report.type === "at");
    expect(places[0]).toMatchObject({ sample: 10 * FRAME, time: 0, moving: true });
    for (const place of places) expect(place.sample - 10 * FRAME).toBe(Math.round(place.time * RATE));
  });
});

describe("interruption", () => {
  it("is silent after 10 ms and never plays what comes after", () => {
    const bench = new Bench();
    bench.open();
    bench.push(20 * FRAME);
    bench.run(10);
    bench.do({ type: "drop", turn: 1, fade: 0.01 });
    bench.push(20 * FRAME);
    const after = bench.run(40);
    const last = after.findLastIndex((value) => value !== 0);
    expect(last).toBeGreaterThan(0);
    expect(last).toBeLessThanOrEqual(0.01 * RATE);
    for (let i = 1; i <= last; i++) expect(after[i]!).toBeLessThanOrEqual(after[i - 1]!);
  });

  it("does not swallow a new turn of the same number", () => {
    const bench = new Bench();
    bench.open();
    bench.push(20 * FRAME, 100);
    bench.run(4);
    bench.do({ type: "drop", fade: 0.01 });
    bench.open();
    bench.push(4 * FRAME, 200);
    const played = bench.run(20).map((value) => Math.round(value * 32768));
    expect(new Set(played)).toEqual(new Set([200]));
  });

  it("leaves the turn that follows alone", () => {
    const bench = new Bench();
    bench.open(1);
    bench.push(20 * FRAME, 100, 1);
    bench.run(4);
    bench.do({ type: "drop", turn: 1, fade: 0.01 });
    bench.open(2);
    bench.push(4 * FRAME, 200, 2);
    bench.do({ type: "end", turn: 2 });
    const played = bench.run(80).map((value) => Math.round(value * 32768)).filter((value) => value === 200);
    expect(played).toHaveLength(4 * FRAME);
  });
});

describe("barge-in", () => {
  it("ducks to the level within the time, and back", () => {
    const bench = new Bench();
    bench.open();
    bench.push(90 * FRAME);
    bench.run(2);
    bench.do({ type: "gain", level: 0.25, fade: 0.04 });
    expect(bench.run(10).at(-1)).toBeCloseTo(0.5 * 0.25, 5);
    bench.do({ type: "release", fade: 0.25 });
    expect(bench.run(50).at(-1)).toBeCloseTo(0.5, 5);
  });

  it("stands still while held and starts again where it is told", () => {
    const bench = new Bench();
    bench.open();
    bench.push(90 * FRAME);
    bench.run(100);
    bench.do({ type: "hold", fade: 0.08 });
    bench.run(20);
    const held = bench.reports.at(-1);
    expect(held).toMatchObject({ type: "at", moving: false });
    expect(loud(bench.run(50))).toBe(0);
    expect(bench.reports.at(-1)).toMatchObject({ moving: false, sample: held!.sample });
    bench.do({ type: "release", fade: 0.25, from: 5 * FRAME });
    const heard = bench.run(60);
    expect(bench.reports.find((report, i) => i > bench.reports.indexOf(held!) && "moving" in report && report.moving))
      .toMatchObject({ sample: 5 * FRAME });
    expect(heard.at(-1)).toBeCloseTo(0.5, 5);
  });

  it("never jumps ahead when released", () => {
    const bench = new Bench();
    bench.open();
    bench.push(90 * FRAME);
    bench.run(20);
    bench.do({ type: "hold", fade: 0.08 });
    bench.run(40);
    const at = bench.reports.at(-1)!.sample;
    bench.do({ type: "release", fade: 0.25, from: 80 * FRAME });
    bench.run(1);
    expect(bench.reports.at(-1)).toMatchObject({ moving: true, sample: at });
  });
});

describe("another output rate", () => {
  it("keeps a tone's pitch and level at 48 kHz", () => {
    const bench = new Bench(48000);
    const tone = (hz: number, at: number) => Math.sin(2 * Math.PI * hz * at);
    bench.open();
    bench.do(
      { type: "push", turn: 1, samples: Int16Array.from({ length: 24000 }, (_, i) => 16384 * tone(1000, i / RATE)) },
      { type: "end", turn: 1 },
    );
    const heard = bench.run(300);
    for (let i = 100; i < 30_000; i++) expect(Math.abs(heard[i]! - 0.5 * tone(1000, i / 48000))).toBeLessThan(0.003);
  });
});
