/** What happened, for the debug panel and for tests: bounded lists that forget their oldest entries. */

import { BLENDSHAPES, type VisavisClient } from "../src";

const LOG_LENGTH = 2000;
const CURVES_LENGTH = 6000;

export interface LogEntry {
  /** Milliseconds on the page's clock. */
  t: number;
  type: string;
  [key: string]: unknown;
}

export interface CurveSample {
  turn: number;
  frame: number;
  t: number;
  jawOpen: number;
  mouthClose: number;
  mouthPucker: number;
  mouthFunnel: number;
  mouthPressLeft: number;
}

const index = (name: string) => BLENDSHAPES.indexOf(name);
const [JAW, CLOSE, PUCKER, FUNNEL, PRESS] =
  ["jawOpen", "mouthClose", "mouthPucker", "mouthFunnel", "mouthPressLeft"].map(index) as
    [number, number, number, number, number];

export class Recorder {
  readonly log: LogEntry[] = [];
  readonly curves: CurveSample[] = [];
  onEntry: ((entry: LogEntry) => void) | null = null;

  note(type: string, details: object = {}): void {
    const entry = { ...details, t: Math.round(performance.now()), type };
    this.log.push(entry);
    if (this.log.length > LOG_LENGTH) this.log.shift();
    this.onEntry?.(entry);
  }

  /** What the face shows; turn -1 when nobody speaks. */
  curve(turn: number, frame: number, w: Float32Array): void {
    this.curves.push({
      turn, frame, t: performance.now(), jawOpen: w[JAW]!, mouthClose: w[CLOSE]!,
      mouthPucker: w[PUCKER]!, mouthFunnel: w[FUNNEL]!, mouthPressLeft: w[PRESS]!,
    });
    if (this.curves.length > CURVES_LENGTH) this.curves.shift();
  }

  follow(client: VisavisClient): void {
    const types = [
      "config", "avatar_state", "audio_start", "audio_end", "transcript_delta", "transcript_done",
      "transcript_partial", "interrupt", "barge_in", "trigger_action", "error", "turn_metrics",
    ] as const;
    for (const type of types) client.on(type, (message) => this.note(type, message));
    client.on("connection", (connection) => this.note("connection", connection));
    client.on("session", (session) => this.note("session", session));
    client.on("sent", (message) => message.type !== "playback" && this.note(`> ${message.type}`, { ...message }));
  }
}
