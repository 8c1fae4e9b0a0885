/** A live stream in a `<video>`: appended to one SourceBuffer, old parts forgotten, always near its newest moment. */

import { Tokens, type TokenSource } from "../tokens";
import { cushion, forgettable, keepUp, NEAREST } from "./edge";

const TYPE = 'video/webm; codecs="vp8,opus"';
const TICK_MS = 100;
const AGAIN_MS = 1000;

export class LiveVideo {
  /** Pieces of the stream that have arrived, and how often playback had to jump to the newest moment. */
  readonly stats = { pieces: 0, jumps: 0 };
  private buffer: SourceBuffer | null = null;
  private queue: BufferSource[] = [];
  private loading: AbortController | null = null;
  private jump: { from: number; done: () => void } | null = null;
  /** Seconds behind the newest moment that are wanted, and whether the stream ran dry since the last look. */
  private wanted = NEAREST;
  private dry = false;
  private readonly timer: ReturnType<typeof setInterval>;

  /** Whether this browser can play the stream. */
  static supported(): boolean {
    return typeof MediaSource !== "undefined" && MediaSource.isTypeSupported(TYPE);
  }

  constructor(
    readonly video: HTMLVideoElement,
    /** Called several times a second. */
    private readonly onTick: () => void = () => undefined,
  ) {
    video.playsInline = true;
    video.addEventListener("waiting", () => (this.dry = video.currentTime > 0 && !video.seeking));
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  /** Play this stream instead of the one before; it is asked for again when it breaks off. */
  open(url: string, token: TokenSource | Tokens = ""): void {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    void this.follow(url, Tokens.of("", token), loading.signal);
  }

  close(): void {
    this.loading?.abort();
    clearInterval(this.timer);
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** The newest moment that is here, in seconds of the video's clock. */
  get edge(): number {
    const { buffered } = this.video;
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
  }

  /** Skip all that is here already; `done` when what comes after it is shown. */
  skip(done: () => void): void {
    this.jump?.done();
    this.jump = { from: this.edge, done };
  }

  private async follow(url: string, tokens: Tokens, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const response = await tokens.fetch(url, { signal });
        if (response.status === 404 || response.status === 410) return; // the session is over
        if (response.ok && response.body) await this.play(response.body, signal);
      } catch {
        // The line was lost, or the browser gave the stream up: once more from its newest moment.
      }
      await new Promise((again) => setTimeout(again, AGAIN_MS));
    }
  }

  private async play(body: ReadableStream<Uint8Array<ArrayBuffer>>, signal: AbortSignal): Promise<void> {
    const source = new MediaSource();
    const url = URL.createObjectURL(source);
    this.video.src = url;
    await new Promise((opened) => source.addEventListener("sourceopen", opened, { once: true }));
    URL.revokeObjectURL(url);
    signal.throwIfAborted();
    this.queue = [];
    const buffer = (this.buffer = source.addSourceBuffer(TYPE));
    buffer.addEventListener("updateend", () => this.append());
    const reader = body.getReader();
    signal.addEventListener("abort", () => void reader.cancel().catch(() => undefined), { once: true });
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      signal.throwIfAborted();
      if (this.video.error) return void reader.cancel();
      this.stats.pieces++;
      this.queue.push(part.value);
      this.append();
    }
  }

  private append(): void {
    const { buffer, video } = this;
    if (!buffer || buffer.updating || video.error) return;
    const { buffered } = video;
    const end = buffered.length > 0 ? forgettable(video.currentTime, buffered.start(0)) : null;
    if (end !== null) buffer.remove(0, end);
    else if (this.queue.length > 0) buffer.appendBuffer(this.queue.shift()!);
  }

  private tick(): void {
    const { video } = this;
    const { buffered } = video;
    const last = buffered.length - 1;
    this.wanted = cushion(this.wanted, this.dry);
    this.dry = false;
    if (last >= 0) {
      const start = buffered.start(last);
      const { rate, seek } = keepUp(video.currentTime, start, buffered.end(last), video.playbackRate, this.wanted);
      video.playbackRate = rate;
      if (this.jump) this.leap(start, buffered.end(last));
      else if (seek !== undefined) this.seek(seek);
    }
    this.onTick();
  }

  /** Once something newer is here, go there. */
  private leap(start: number, end: number): void {
    const { from, done } = this.jump!;
    if (end - from < NEAREST) return;
    this.jump = null;
    this.seek(Math.max(start, from));
    done();
  }

  private seek(time: number): void {
    this.stats.jumps++;
    this.video.currentTime = time;
  }
}
