/**
 * The heart of the player, as it runs inside the audio thread: one tape per turn, a jitter buffer, a gain
 * that moves without clicks, and a report of where the tape stands whenever that changes. No Web Audio here.
 */

import { sampleAt } from "./resample";

export type DeckCommand =
  /** A turn begins; its first sample has this position. Tapes are played one after another. */
  | { type: "open"; turn: number; first: number }
  | { type: "push"; turn: number; samples: Int16Array }
  /** Everything of this turn has been pushed. */
  | { type: "end"; turn: number }
  /** Fade this turn (or every turn) out and forget it. */
  | { type: "drop"; turn?: number; fade: number }
  | { type: "gain"; level: number; fade: number }
  /** Fade out, then stand still until `release`, which may start again from an earlier sample. */
  | { type: "hold"; fade: number }
  | { type: "release"; fade: number; from?: number };

export type DeckReport =
  /** At `time` (seconds, the context's clock) sample `sample` of `turn` was put out, moving or standing. */
  | { type: "at"; turn: number; sample: number; time: number; moving: boolean; buffered: number }
  | { type: "underrun"; turn: number; sample: number; time: number }
  /** The last sample was put out at `time`. */
  | { type: "done"; turn: number; sample: number; time: number };

class Tape {
  samples = new Int16Array(24000);
  length = 0;
  position = 0;
  ended = false;
  running = false;

  constructor(readonly turn: number, readonly first: number) {}

  push(samples: Int16Array): void {
    if (this.length + samples.length > this.samples.length) {
      const larger = new Int16Array(2 * (this.length + samples.length));
      larger.set(this.samples.subarray(0, this.length));
      this.samples = larger;
    }
    this.samples.set(samples, this.length);
    this.length += samples.length;
  }

  get left(): number {
    return this.length - this.position;
  }

  get sample(): number {
    return this.first + Math.floor(this.position);
  }
}

export interface DeckOptions {
  /** Hz of the pushed samples. */
  rate: number;
  /** Hz of the output. */
  outputRate: number;
  /** Samples that must be there before a tape starts, and after it ran dry. */
  start: number;
}

export class Deck {
  private tapes: Tape[] = [];
  private gain = 1;
  private target = 1;
  private slope = 0;
  private held = false;
  private dropping = false;
  private last: { time: number; moving: boolean } | null = null;
  private readonly step: number;

  constructor(private readonly options: DeckOptions, private readonly report: (report: DeckReport) => void) {
    this.step = options.rate / options.outputRate;
  }

  handle(command: DeckCommand): void {
    switch (command.type) {
      case "open":
        this.open(command.turn, command.first);
        break;
      case "push":
        this.find(command.turn)?.push(command.samples);
        break;
      case "end": {
        const tape = this.find(command.turn);
        if (tape) tape.ended = true;
        break;
      }
      case "drop":
        this.drop(command.turn, command.fade);
        break;
      case "gain":
        this.ramp(command.level, command.fade);
        break;
      case "hold":
        this.held = true;
        this.ramp(0, command.fade);
        break;
      case "release":
        this.release(command.fade, command.from);
        break;
    }
  }

  /** Fill one quantum of output; `time` is the context's time of its first sample. */
  process(output: Float32Array, time: number): void {
    output.fill(0);
    const tape = this.tapes[0];
    if (!tape) return;
    const faded = this.gain === 0 && this.target === 0;
    if (this.dropping && (faded || !tape.running)) return this.remove(tape);
    if (this.held && (faded || !tape.running)) return this.at(tape, time, false);
    if (!tape.running) {
      if (tape.left < this.options.start && !tape.ended) return;
      tape.running = true;
      this.last = null;
    }
    this.at(tape, time, true);
    const count = this.write(tape, output);
    if (count < output.length) this.exhausted(tape, time + count / this.options.outputRate);
  }

  private open(turn: number, first: number): void {
    const known = this.find(turn);
    if (known && !this.dropping) return;
    if (known) this.remove(known); // a new conversation counts its turns from 1 again
    this.tapes.push(new Tape(turn, first));
  }

  private find(turn: number): Tape | undefined {
    return this.tapes.find((tape) => tape.turn === turn);
  }

  private ramp(level: number, fade: number): void {
    this.target = level;
    this.slope = (level - this.gain) / Math.max(1, fade * this.options.outputRate);
  }

  private drop(turn: number | undefined, fade: number): void {
    const current = this.tapes[0];
    this.tapes = this.tapes.filter((tape, index) => index === 0 || (turn !== undefined && tape.turn !== turn));
    if (current && (turn === undefined || current.turn === turn)) {
      this.dropping = true;
      this.ramp(0, fade);
    }
  }

  private release(fade: number, from: number | undefined): void {
    const tape = this.tapes[0];
    if (tape && this.held && from !== undefined) {
      tape.position = Math.min(Math.max(0, from - tape.first), tape.position);
    }
    if (this.held) this.last = null;
    this.held = false;
    this.ramp(1, fade);
  }

  private write(tape: Tape, output: Float32Array): number {
    let index = 0;
    for (; index < output.length && tape.left > 0; index++) {
      const value = this.step === 1
        ? tape.samples[tape.position]! / 32768
        : sampleAt(tape.samples, tape.length, tape.position);
      output[index] = value * this.gain;
      tape.position += this.step;
      if (this.gain !== this.target) {
        this.gain += this.slope;
        if (this.slope === 0 || (this.target - this.gain) * this.slope <= 0) this.gain = this.target;
      }
    }
    return index;
  }

  private exhausted(tape: Tape, time: number): void {
    if (this.dropping) return this.remove(tape);
    if (tape.ended) {
      this.report({ type: "done", turn: tape.turn, sample: tape.first + tape.length, time });
      return this.remove(tape);
    }
    tape.running = false;
    this.at(tape, time, false);
    this.report({ type: "underrun", turn: tape.turn, sample: tape.sample, time });
  }

  private remove(tape: Tape): void {
    this.tapes = this.tapes.filter((other) => other !== tape);
    this.dropping = this.held = false;
    this.gain = this.target = 1;
    this.last = null;
  }

  /** Report every 20 ms, and at once when the tape starts, stops or jumps. */
  private at(tape: Tape, time: number, moving: boolean): void {
    const last = this.last;
    if (last && last.moving === moving && time - last.time < 0.02) return;
    this.last = { time, moving };
    const buffered = tape.left / this.options.rate;
    this.report({ type: "at", turn: tape.turn, sample: tape.sample, time, moving, buffered });
  }
}
