/** A recording and its face, as the server answers and as the page uses it. */

import { BLENDSHAPES } from "../src";

const WEIGHTS = BLENDSHAPES.length;

export interface Answer {
  engine: string;
  /** Seconds of work. */
  elapsed: number;
  stats: { seconds: number; frames: number; closures: number };
  track: { fps: number; names: string[]; frames: number[][]; source?: string };
  /** PCM16, mono, base64. */
  sound: { rate: number; pcm: string };
}

/** Sound and 52 curves in step: frame k is the face from k/fps to (k+1)/fps seconds. */
export class Recording {
  readonly fps: number;
  readonly frames: number;
  readonly rate: number;
  readonly samples: Int16Array;
  /** One curve a blendshape in ARKit order, 0..1. */
  readonly curves: readonly Float32Array[];
  private readonly face = new Float32Array(WEIGHTS);

  constructor(readonly answer: Answer) {
    const { track, sound } = answer;
    this.fps = track.fps;
    this.frames = track.frames.length;
    this.rate = sound.rate;
    this.samples = pcm16(sound.pcm);
    this.curves = BLENDSHAPES.map((name) => {
      const column = track.names.indexOf(name);
      return Float32Array.from(track.frames, (frame) => frame[column] ?? 0);
    });
  }

  get seconds(): number {
    return this.samples.length / this.rate;
  }

  /** The frame of an instant in seconds. */
  frameAt(time: number): number {
    // A millionth of a frame: times that were computed from a frame's number may lie just below it.
    return Math.min(this.frames - 1, Math.max(0, Math.floor(time * this.fps + 1e-6)));
  }

  /** An instant in the middle of a frame, away from its neighbours. */
  timeOf(frame: number): number {
    return Math.min(this.seconds, (Math.min(this.frames - 1, Math.max(0, frame)) + 0.5) / this.fps);
  }

  /** The 52 weights of a frame; the same array each time. */
  weights(frame: number): Float32Array {
    for (let i = 0; i < WEIGHTS; i++) this.face[i] = this.curves[i]![frame] ?? 0;
    return this.face;
  }
}

export function pcm16(base64: string): Int16Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
}
