import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Deck } from "../src/audio/deck";
import { Player, type PlayerEvents, type Position } from "../src/player";

const QUANTUM = 128;
const RATE = 24000;

/** A player on a real Deck whose audio thread is moved by hand; 20 ms between mixer and ear. */
class Bench {
  readonly heard: number[] = [];
  readonly events: [keyof PlayerEvents, unknown][] = [];
  readonly player: Player;
  readonly volume = vi.fn();
  private readonly context = { currentTime: 0, outputLatency: 0.02, sampleRate: RATE, state: "suspended", onstatechange: null as (() => void) | null };
  private deck: Deck | null = null;

  constructor() {
    const resume = async () => {
      this.context.state = "running";
      this.context.onstatechange?.();
    };
    this.player = new Player({
      now: () => this.context.currentTime * 1000,
      createContext: () => Object.assign(this.context, { resume }) as unknown as AudioContext,
      openOutput: async (_, options, report) => {
        const deck = new Deck({ ...options, outputRate: RATE }, report);
        this.deck = deck;
        return { post: (command) => deck.handle(command), setVolume: this.volume, close: () => undefined };
      },
    });
    for (const type of ["start", "progress", "end", "underrun", "barge", "locked"] as const) {
      this.player.on(type, (value) => this.events.push([type, value]));
    }
  }

  run(seconds: number): void {
    const quanta = Math.round((seconds * RATE) / QUANTUM);
    for (let i = 0; i < quanta; i++) {
      const block = new Float32Array(QUANTUM);
      this.deck!.process(block, this.context.currentTime);
      this.heard.push(...block);
      this.context.currentTime += QUANTUM / RATE;
    }
  }

  frames(first: number, count: number, turn = 1): void {
    for (let index = first; index < first + count; index++) {
      const pcm = new Int16Array(800).fill(index + 1);
      this.player.frame({ turn, index, weights: new Uint8Array(52).fill(index), pcm });
    }
  }

  of<K extends keyof PlayerEvents>(type: K): PlayerEvents[K][] {
    return this.events.filter(([name]) => name === type).map(([, value]) => value as PlayerEvents[K]);
  }
}

let bench: Bench;
beforeEach(async () => {
  vi.useFakeTimers();
  bench = new Bench();
});
afterEach(() => vi.useRealTimers());

describe("what is audible", () => {
  it("lags behind the mixer by the output latency", async () => {
    await bench.player.unlock();
    bench.player.begin(1, "turn_1");
    bench.frames(0, 10);
    bench.run(0.01);
    expect(bench.player.position()).toBeNull();
    bench.run(0.11);
    const position = bench.player.position()!;
    expect(position.ms).toBeCloseTo(((2 + 21) * QUANTUM * 1000) / RATE - 20, 1);
    expect(position.frame).toBe(Math.floor((position.ms * 30) / 1000));
  });

  it("decides which face is shown", async () => {
    await bench.player.unlock();
    bench.player.begin(1, "turn_1");
    bench.frames(0, 10);
    bench.run(0.12);
    const shown = bench.player.frameNow()!;
    expect(shown.weights[0]! * 255).toBeCloseTo((bench.player.position()!.ms * 30) / 1000 - 0.5, 1);
  });

  it("is reported about every 100 ms and at the end", async () => {
    await bench.player.unlock();
    bench.player.begin(1, "turn_1");
    bench.frames(0, 30);
    bench.player.finish("turn_1");
    bench.run(1.1);
    vi.runAllTimers();
    expect(bench.of("start")).toHaveLength(1);
    const steps = bench.of("progress").map((position: Position) => position.ms);
    expect(steps.length).toBeGreaterThanOrEqual(9);
    expect(steps.length).toBeLessThanOrEqual(11);
    expect(bench.of("end")).toMatchObject([{ interrupted: false, frame: 29 }]);
    expect(bench.player.position()).toBeNull();
  });
});

describe("interruption", () => {
  it("closes the mouth at once and the sound within 10 ms", async () => {
    await bench.player.unlock();
    bench.player.begin(1, "turn_1");
    bench.frames(0, 30);
    bench.run(0.2);
    bench.player.interrupt("turn_1");
    expect(bench.player.frameNow()).toBeNull();
    expect(bench.player.position()).toBeNull();
    const before = bench.heard.length;
    bench.run(0.1);
    bench.frames(30, 30);
    bench.run(0.5);
    const rest = bench.heard.slice(before).findLastIndex((value) => value !== 0);
    expect(rest).toBeLessThanOrEqual(0.01 * RATE);
    expect(bench.of("end")).toMatchObject([{ interrupted: true, frame: 5 }]);
  });

  it("of another turn changes nothing", async () => {
    await bench.player.unlock();
    bench.player.begin(2, "turn_2");
    bench.frames(0, 30, 2);
    bench.run(0.2);
    bench.player.interrupt("turn_1");
    expect(bench.player.position()?.turn.id).toBe("turn_2");
  });
});

describe("a resumed connection", () => {
  it("goes on without a gap or a repetition", async () => {
    await bench.player.unlock();
    bench.player.begin(1, "turn_1");
    bench.frames(0, 8);
    bench.run(0.15);
    bench.player.begin(1, "turn_1");
    bench.frames(4, 16);
    bench.player.finish("turn_1");
    bench.run(1);
    const played = bench.heard.filter((value) => value !== 0).map((value) => Math.round(value * 32768));
    expect(played).toEqual(Array.from({ length: 20 * 800 }, (_, i) => Math.floor(i / 800) + 1));
    expect(bench.player.stats).toMatchObject({ repeated: 4, missing: 0, underruns: 0 });
  });
});

describe("barge-in", () => {
  it("holds, rests the mouth, and starts the clause again", async () => {
    await bench.player.unlock();
    const turn = bench.player.begin(1, "turn_1");
    turn.addWord({ text: "Well,", start: 0, end: 400 });
    turn.addWord({ text: "this", start: 500, end: 800 });
    turn.addWord({ text: "goes", start: 800, end: 1100 });
    bench.frames(0, 60);
    bench.run(1);
    bench.player.barge("turn_1", "duck");
    expect(bench.player.frameNow()).not.toBeNull();
    bench.player.barge("turn_1", "hold");
    expect(bench.player.frameNow()).toBeNull();
    bench.run(0.5);
    const held = bench.player.position()!;
    expect(held.moving).toBe(false);
    expect(held.ms).toBeLessThan(1100);
    bench.player.barge("turn_1", "resume");
    bench.run(0.05);
    expect(bench.player.position()!.ms).toBeGreaterThanOrEqual(500);
    expect(bench.player.position()!.ms).toBeLessThan(540);
    expect(bench.player.frameNow()).not.toBeNull();
    expect(bench.of("end")).toEqual([]);
  });
});

describe("before sound is allowed", () => {
  it("keeps what arrives, says so, and plays it then", async () => {
    bench.player.begin(1, "turn_1");
    bench.frames(0, 10);
    expect(bench.of("locked")).toEqual([true]);
    expect(bench.player.position()).toBeNull();
    await bench.player.unlock();
    expect(bench.of("locked")).toEqual([true, false]);
    bench.run(0.3);
    expect(bench.heard.filter((value) => value !== 0)).toHaveLength(56 * QUANTUM);
  });

  it("prefers what is newest", async () => {
    bench.player.begin(1, "turn_1");
    bench.frames(0, 10, 1);
    bench.player.begin(2, "turn_2");
    bench.frames(0, 10, 2);
    await bench.player.unlock();
    bench.run(0.1);
    expect(bench.player.position()?.turn.id).toBe("turn_2");
  });
});
