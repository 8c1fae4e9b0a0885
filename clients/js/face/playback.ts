/** The sound of a recording, at any speed without changing its pitch. */

import { wav } from "../src";
import type { Recording } from "./recording";

export class Playback {
  /** Called when it starts, stops or is moved. */
  onChange: () => void = () => {};
  private readonly audio = new Audio();
  private recording: Recording | null = null;
  private url = "";

  constructor() {
    this.audio.preservesPitch = true;
    for (const type of ["play", "pause", "ended", "seeked"]) this.audio.addEventListener(type, () => this.onChange());
  }

  /** Put a recording in; one of the same length goes on where the one before was. */
  load(recording: Recording): void {
    const before = this.recording;
    if (before && before.seconds === recording.seconds && sameSound(before, recording)) {
      this.recording = recording;
      return;
    }
    this.recording = recording;
    const { playbackRate } = this.audio;
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(wav(recording.samples, recording.rate));
    this.audio.src = this.url;
    this.audio.defaultPlaybackRate = this.audio.playbackRate = playbackRate;
  }

  /** Seconds: what is audible now. */
  get time(): number {
    return this.recording ? Math.min(this.audio.currentTime, this.recording.seconds) : 0;
  }

  get frame(): number {
    return this.recording?.frameAt(this.time) ?? 0;
  }

  get playing(): boolean {
    return !this.audio.paused && !this.audio.ended;
  }

  set speed(speed: number) {
    this.audio.playbackRate = this.audio.defaultPlaybackRate = speed;
  }

  /** Play, from the beginning if it had come to its end. A browser that wants a click first stays silent. */
  async play(): Promise<void> {
    if (this.recording && this.time >= this.recording.seconds - 0.5 / this.recording.fps) this.audio.currentTime = 0;
    await this.audio.play().catch((error: DOMException) => {
      if (error.name !== "NotAllowedError" && error.name !== "AbortError") throw error;
    });
  }

  pause(): void {
    this.audio.pause();
  }

  toggle(): void {
    if (this.playing) this.pause();
    else void this.play();
  }

  seek(seconds: number): void {
    if (!this.recording) return;
    this.audio.currentTime = Math.min(this.recording.seconds, Math.max(0, seconds));
  }

  /** Stop, `frames` further on. */
  step(frames: number): void {
    if (!this.recording) return;
    this.pause();
    this.seek(this.recording.timeOf(this.frame + frames));
  }
}

/** The same file animated otherwise: its sound need not be loaded again. */
function sameSound(a: Recording, b: Recording): boolean {
  return a.answer.sound.pcm === b.answer.sound.pcm;
}
