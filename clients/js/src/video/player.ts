/** A Player whose sound and pictures are a video: the video's clock is the master, its newest moment is now. */

import { Emitter } from "../emitter";
import type { Playback, PlayerEvents, PlayerStats, Position } from "../player";
import { Turn, type Word } from "../turn";
import { LiveVideo } from "./live";

/** A turn, where in the video it begins and (once known) ends, in seconds, and how many frames of it were sent. */
interface Part {
  turn: Turn;
  begin: number;
  end: number;
  frames: number;
}

export class VideoPlayer extends Emitter<PlayerEvents> implements Playback {
  readonly stats: PlayerStats = {
    underruns: 0, buffered: 0, jitter: 0, received: 0, repeated: 0, missing: 0, outputLatency: 0, contextRate: 0,
  };
  readonly live: LiveVideo;
  private parts: Part[] = [];
  private started: Turn | null = null;
  private newest: Turn | null = null;
  private rate = 24000;
  private fps = 25;
  private loudness = 1;
  private quiet = false;
  private blocked = false;

  constructor(private readonly video: HTMLVideoElement) {
    super();
    this.live = new LiveVideo(video, () => this.tick());
    video.addEventListener("loadeddata", () => void this.play());
  }

  configure(rate: number, fps: number): void {
    this.rate = rate;
    this.fps = fps;
  }

  async unlock(): Promise<void> {
    this.blocked = false;
    this.video.muted = false;
    await this.play();
  }

  get locked(): boolean {
    return this.video.paused || this.video.muted;
  }

  get volume(): number {
    return this.loudness;
  }

  set volume(value: number) {
    this.loudness = value;
    if (!this.quiet) this.video.volume = value;
  }

  get current(): Turn | null {
    return this.parts[0]?.turn ?? null;
  }

  get latest(): Turn | null {
    return this.newest;
  }

  /** What is sent now is shown next: the turn begins at the newest moment of the video. */
  begin(number: number, id: string): Turn {
    const known = this.parts.find(({ turn }) => turn.id === id);
    if (known) return known.turn;
    const turn = (this.newest = new Turn(number, id, this.fps, this.rate));
    this.parts.push({ turn, begin: this.live.edge, end: Infinity, frames: 0 });
    this.hush(false);
    if (this.blocked) this.emit("locked", true);
    return turn;
  }

  frame({ turn: number, index }: { turn: number; index: number }): void {
    this.stats.received++;
    const part = this.parts.find(({ turn }) => turn.number === number);
    if (part) part.frames = index + 1;
  }

  word(id: string, word: Word): void {
    this.parts.find(({ turn }) => turn.id === id)?.turn.addWord(word);
  }

  finish(id: string): void {
    const part = this.parts.find(({ turn }) => turn.id === id);
    if (!part) return;
    part.turn.complete = true;
    part.end = part.begin + part.frames / this.fps;
  }

  /** Silence at once; what was on its way is skipped when the server has stopped sending it. */
  interrupt(id?: string): void {
    const cut = this.parts.filter(({ turn }) => id === undefined || turn.id === id);
    this.parts = this.parts.filter((part) => !cut.includes(part));
    if (cut.length > 0) this.hush(true);
    if (id !== undefined && this.quiet) this.live.skip(() => this.hush(false));
    for (const part of cut) this.emit("end", { turn: part.turn, interrupted: true, frame: this.frameOf(part) });
  }

  async close(): Promise<void> {
    this.reset();
    this.live.close();
  }

  reset(): void {
    this.interrupt();
    this.hush(false);
    this.newest = this.started = null;
  }

  /** The dialect does not tell of the user's voice before it has become an interruption. */
  barge(): void {}

  position(): Position | null {
    const part = this.parts[0];
    if (!part || this.video.currentTime < part.begin || this.video.readyState < 2) return null;
    const seconds = this.seconds(part);
    const frame = this.frameOf(part);
    const moving = !this.video.paused;
    return { turn: part.turn, sample: Math.floor(seconds * this.rate), ms: seconds * 1000, frame, moving };
  }

  /** The face is in the picture. */
  frameNow(): null {
    return null;
  }

  private seconds(part: Part): number {
    return Math.max(0, Math.min(this.video.currentTime, part.end) - part.begin);
  }

  private frameOf(part: Part): number {
    return Math.floor(this.seconds(part) * this.fps);
  }

  private tick(): void {
    this.stats.buffered = Math.max(0, this.live.edge - this.video.currentTime);
    const position = this.position();
    if (position && this.started !== position.turn) {
      this.started = position.turn;
      this.emit("start", position.turn);
    }
    if (position) this.emit("progress", position);
    const part = this.parts[0];
    const lost = part && this.live.edge < part.begin; // another stream, with a clock of its own
    if (!part || (!lost && this.video.currentTime < part.end - 0.05)) return;
    this.parts.shift();
    this.emit("end", { turn: part.turn, interrupted: false, frame: this.frameOf(part) });
  }

  private hush(quiet: boolean): void {
    this.quiet = quiet;
    this.video.volume = quiet ? 0 : this.loudness;
  }

  /** Pictures may always be played; sound wants a click or a key first. */
  private async play(): Promise<void> {
    try {
      await this.video.play();
      this.emit("locked", false);
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError" || this.video.muted) return;
      this.blocked = this.video.muted = true;
      await this.video.play().catch(() => undefined);
    }
  }
}
