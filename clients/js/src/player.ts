/** Plays the avatar's turns and knows, to the sample, what is audible at this moment. */

import { WEIGHTS } from "./arkit";
import type { DeckCommand, DeckReport } from "./audio/deck";
import { openOutput, type Output } from "./audio/output";
import { Emitter } from "./emitter";
import { Playhead } from "./playhead";
import type { BargeInPhase, Frame } from "./protocol";
import { Turn, type Word } from "./turn";

export const START_FRAMES = 3;
const KEPT_TURNS = 3;
const PROGRESS_SECONDS = 0.1;
const FLUSH_SECONDS = 0.01;
const RESUME_SECONDS = 0.25;
const decibels = (db: number) => 10 ** (db / 20);

/** What is audible now. */
export interface Position {
  turn: Turn;
  /** Sample of the turn. */
  sample: number;
  /** Milliseconds from the start of the turn's audio. */
  ms: number;
  frame: number;
  /** False while playback is held or waits for more audio. */
  moving: boolean;
}

export interface ShownFrame {
  turn: Turn;
  frame: number;
  /** float[52] in 0..1; valid until the next call. */
  weights: Float32Array;
}

export interface PlayerStats {
  underruns: number;
  /** Seconds of sound that are here and not heard yet. */
  buffered: number;
  /** How unevenly frames arrive: smoothed deviation in milliseconds (RFC 3550, section 6.4.1). */
  jitter: number;
  /** Frames received, received twice, and never received. */
  received: number;
  repeated: number;
  missing: number;
  /** Seconds from the mixer to the ear. */
  outputLatency: number;
  /** Hz of the audio device's context; 0 before sound was allowed. */
  contextRate: number;
}

export interface PlayerEvents {
  /** The first sample of a turn is heard. */
  start: Turn;
  /** About every 100 ms of playback. */
  progress: Position;
  /** The last sample was heard, or the turn was cut off. */
  end: { turn: Turn; interrupted: boolean; frame: number };
  underrun: Turn;
  barge: { turn: Turn; phase: BargeInPhase };
  /** True: sound arrived, but the browser wants a click or a key first (`unlock`). */
  locked: boolean;
}

export interface PlayerOptions {
  createContext?: (rate: number) => AudioContext;
  openOutput?: typeof openOutput;
  /** Milliseconds, monotonic. */
  now?: () => number;
}

/** The browser resamples if it takes the rate; a device that refuses it gets its own and we resample. */
function createContext(rate: number): AudioContext {
  try {
    return new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  } catch {
    return new AudioContext({ latencyHint: "interactive" });
  }
}

/** What talks over a client need of a player; the sound may also be a video's (`VideoPlayer`). */
export type Playback = Omit<Pick<Player, keyof Player>, "frameNow"> & { frameNow(): ShownFrame | null };

export class Player extends Emitter<PlayerEvents> {
  readonly stats: PlayerStats = {
    underruns: 0, buffered: 0, jitter: 0, received: 0, repeated: 0, missing: 0, outputLatency: 0, contextRate: 0,
  };
  private rate = 24000;
  private fps = 30;
  private context: AudioContext | null = null;
  private output: Output | null = null;
  private opening: Promise<void> | null = null;
  private waiting: DeckCommand[] = [];
  private turns: Turn[] = [];
  private readonly gone = new Set<Turn>();
  private playhead = new Playhead(24000);
  private started: Turn | null = null;
  private held = false;
  private lastProgress = -1;
  private loudness = 1;
  private lastArrival: { at: number; frame: number; turn: Turn } | null = null;
  private readonly weights = new Float32Array(WEIGHTS);

  constructor(private readonly options: PlayerOptions = {}) {
    super();
  }

  /** The stream's rate (Hz) and frames per second, from the server's `config`. */
  configure(rate: number, fps: number): void {
    if (this.context && rate !== this.rate) throw new Error("The sample rate cannot change while playing.");
    if (rate !== this.rate) this.playhead = new Playhead(rate);
    this.rate = rate;
    this.fps = fps;
  }

  /** Allow sound: call it from a click or a key press. */
  unlock(): Promise<void> {
    this.opening ??= this.open();
    return this.opening.then(() => this.context?.resume());
  }

  /** Loudness, 0..1. */
  get volume(): number {
    return this.loudness;
  }

  set volume(level: number) {
    this.loudness = level;
    this.output?.setVolume(level);
  }

  get locked(): boolean {
    return this.context?.state !== "running";
  }

  /** The turn that is being heard or that is about to be. */
  get current(): Turn | null {
    return this.turns.find((turn) => !this.gone.has(turn)) ?? null;
  }

  /** The most recent turn, heard or not. */
  get latest(): Turn | null {
    return this.turns.at(-1) ?? null;
  }

  /** A turn begins; telling it twice (after a reconnection) goes on with the first. */
  begin(number: number, id: string): Turn {
    const known = this.turns.find((turn) => turn.id === id);
    if (known) return known;
    if (this.locked) this.interrupt(); // nobody heard it, and now there is something newer to say
    const turn = new Turn(number, id, this.fps, this.rate);
    this.turns.push(turn);
    while (this.turns.length > KEPT_TURNS && this.gone.has(this.turns[0]!)) {
      this.gone.delete(this.turns.shift()!);
    }
    return turn;
  }

  frame(frame: Pick<Frame, "turn" | "index" | "weights" | "pcm">): void {
    const turn = this.live(frame.turn);
    if (!turn) return;
    this.measure(turn, frame.index);
    const opened = turn.first !== null;
    const missing = turn.missing;
    const parts = turn.add(frame.index, frame.weights, frame.pcm);
    this.stats.received++;
    this.stats.missing += turn.missing - missing;
    if (parts.length === 0) this.stats.repeated++;
    if (!opened) this.post({ type: "open", turn: turn.number, first: turn.edge(frame.index) });
    for (const samples of parts) this.post({ type: "push", turn: turn.number, samples });
    if (!opened && this.locked) this.emit("locked", true);
  }

  word(id: string, word: Word): void {
    this.turns.find((turn) => turn.id === id)?.addWord(word);
  }

  /** All audio of the turn has arrived; it is still being heard. */
  finish(id: string): void {
    const turn = this.turns.find((other) => other.id === id);
    if (!turn || this.gone.has(turn)) return;
    turn.complete = true;
    this.post({ type: "end", turn: turn.number });
  }

  /** Silence within 10 ms: this turn, or whatever is playing or waiting. */
  interrupt(id?: string): void {
    for (const turn of this.turns) {
      if (this.gone.has(turn) || (id !== undefined && turn.id !== id)) continue;
      const place = this.place();
      const frame = place?.turn === turn.number ? turn.frameAt(place.sample) : -1;
      this.post({ type: "drop", turn: turn.number, fade: FLUSH_SECONDS });
      this.leave(turn, true, frame);
    }
  }

  /** Another conversation: forget everything of this one. */
  reset(): void {
    this.interrupt();
    this.turns = [];
    this.gone.clear();
    this.started = null;
  }

  /** The user's voice while the avatar speaks: quieter, quieter still, held, or on again. */
  barge(id: string, phase: BargeInPhase): void {
    const turn = this.current;
    if (!turn || turn.id !== id) return;
    if (phase === "duck") this.post({ type: "gain", level: decibels(-9), fade: 0.04 });
    if (phase === "deep") this.post({ type: "gain", level: decibels(-26), fade: 0.06 });
    if (phase === "hold" && !this.held) {
      this.held = true;
      this.post({ type: "hold", fade: 0.08 });
    }
    if (phase === "resume") this.resume(turn);
    this.emit("barge", { turn, phase });
  }

  /** What is audible now; null while no turn is heard. */
  position(): Position | null {
    const place = this.place();
    const turn = place && this.live(place.turn);
    if (!place || !turn) return null;
    const { sample, moving } = place;
    return { turn, sample, ms: (sample * 1000) / this.rate, frame: turn.frameAt(sample), moving };
  }

  /** The face that belongs to what is audible now; null when the mouth should rest. */
  frameNow(): ShownFrame | null {
    const position = this.held ? null : this.position();
    if (!position?.moving) return null;
    const { turn, frame, sample } = position;
    return { turn, frame, weights: turn.face(sample, this.weights) };
  }

  /** Give the loudspeaker back. */
  async close(): Promise<void> {
    this.interrupt();
    await this.opening;
    this.output?.close();
    await this.context?.close();
  }

  private async open(): Promise<void> {
    const context = (this.options.createContext ?? createContext)(this.rate);
    this.context = context;
    this.stats.contextRate = context.sampleRate;
    context.onstatechange = () => {
      if (!this.locked) this.emit("locked", false);
      else if (this.current) this.emit("locked", true);
    };
    const start = Math.floor((START_FRAMES * this.rate) / this.fps);
    const open = this.options.openOutput ?? openOutput;
    this.output = await open(context, { rate: this.rate, start }, (report) => this.take(report));
    if (this.loudness !== 1) this.output.setVolume(this.loudness);
    for (const command of this.waiting.splice(0)) this.output.post(command);
  }

  private post(command: DeckCommand): void {
    if (this.output) this.output.post(command);
    else this.waiting.push(command);
  }

  private live(number: number): Turn | null {
    return this.turns.find((turn) => turn.number === number && !this.gone.has(turn)) ?? null;
  }

  /** Seconds of the context's clock that are leaving the speaker now. */
  private audibleTime(): number {
    if (!this.context) return 0;
    this.stats.outputLatency = this.context.outputLatency || this.context.baseLatency || 0;
    return this.context.currentTime - this.stats.outputLatency;
  }

  private place() {
    return this.playhead.at(this.audibleTime());
  }

  private take(report: DeckReport): void {
    const turn = this.live(report.turn);
    if (!turn) return;
    if (report.type === "at") {
      const { turn: number, sample, time, moving, buffered } = report;
      this.playhead.mark(number, sample, time, moving, buffered);
      this.stats.buffered = buffered;
      this.progress(report.time);
    } else if (report.type === "underrun") {
      this.stats.underruns++;
      this.emit("underrun", turn);
    } else {
      this.stats.buffered = 0;
      const wait = Math.max(0, report.time - this.audibleTime()) * 1000;
      setTimeout(() => this.live(turn.number) && this.leave(turn, false, turn.end - 1), wait);
    }
  }

  private progress(time: number): void {
    const position = this.position();
    if (!position) return;
    if (this.started !== position.turn) {
      this.started = position.turn;
      this.lastProgress = -1;
      this.emit("start", position.turn);
    }
    if (position.moving && Math.abs(time - this.lastProgress) >= PROGRESS_SECONDS) {
      this.lastProgress = time;
      this.emit("progress", position);
    }
  }

  private resume(turn: Turn): void {
    if (!this.held) {
      this.post({ type: "gain", level: 1, fade: RESUME_SECONDS });
      return;
    }
    this.held = false;
    const place = this.place();
    const ms = place?.turn === turn.number ? (place.sample * 1000) / this.rate : 0;
    const from = Math.floor((turn.clauseStart(ms) * this.rate) / 1000);
    this.post({ type: "release", fade: RESUME_SECONDS, from });
  }

  private leave(turn: Turn, interrupted: boolean, frame: number): void {
    if (this.place()?.turn === turn.number) {
      this.playhead.clear();
      this.stats.buffered = 0;
    }
    this.gone.add(turn);
    this.held = false;
    this.emit("end", { turn, interrupted, frame });
  }

  private measure(turn: Turn, frame: number): void {
    const at = (this.options.now ?? (() => performance.now()))();
    const last = this.lastArrival;
    if (last?.turn === turn && frame > last.frame) {
      const off = Math.abs(at - last.at - ((frame - last.frame) * 1000) / this.fps);
      this.stats.jitter += (off - this.stats.jitter) / 16;
    }
    this.lastArrival = { at, frame, turn };
  }
}
