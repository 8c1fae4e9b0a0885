/** One turn of the avatar as the client knows it: faces, sound and words on one time line. */

import { WEIGHTS } from "./arkit";

/** A spoken word; milliseconds from the start of the turn's audio. */
export interface Word {
  text: string;
  start: number;
  end: number;
}

const CLAUSE_END = /[,.;:!?…—–]["')\]]*$/;
const LONGEST_REWIND_MS = 3000;

export class Turn {
  readonly words: Word[] = [];
  /** All audio has arrived. */
  complete = false;
  /** Frames that never arrived. */
  missing = 0;
  first: number | null = null;
  private readonly faces: Uint8Array[] = [];
  private readonly sounds: Int16Array[] = [];

  constructor(
    readonly number: number,
    readonly id: string,
    readonly fps: number,
    readonly rate: number,
  ) {}

  /** Index of the frame after the last one. */
  get end(): number {
    return (this.first ?? 0) + this.faces.length;
  }

  get seconds(): number {
    return this.end / this.fps;
  }

  /** First sample of a frame; edges are rounded so that any rate and fps stay exact. */
  edge(frame: number): number {
    return Math.floor((frame * this.rate) / this.fps);
  }

  /**
   * Take a frame and return the samples to play: nothing for one that is here already (a resumed connection
   * sends some again), silence in front of it for frames that are missing.
   */
  add(index: number, weights: Uint8Array, pcm: Int16Array): Int16Array[] {
    this.first ??= index;
    if (index < this.end) return [];
    const added: Int16Array[] = [];
    while (this.end < index) {
      const silence = new Int16Array(this.edge(this.end + 1) - this.edge(this.end));
      this.missing++;
      added.push(this.keep(this.faces.at(-1) ?? new Uint8Array(WEIGHTS), silence));
    }
    added.push(this.keep(weights, pcm));
    return added;
  }

  /** A resumed connection tells some words again. */
  addWord(word: Word): boolean {
    const last = this.words.at(-1);
    if (last && word.start <= last.start && word.end <= last.end) return false;
    this.words.push(word);
    return true;
  }

  /** The face at a sample of the turn, between the two nearest frames; values in 0..1. */
  face(sample: number, out: Float32Array): Float32Array {
    const place = (sample * this.fps) / this.rate - 0.5 - (this.first ?? 0);
    const last = this.faces.length - 1;
    const at = Math.min(Math.max(place, 0), Math.max(last, 0));
    const a = this.faces[Math.floor(at)];
    const b = this.faces[Math.min(Math.floor(at) + 1, last)];
    const mix = at - Math.floor(at);
    for (let i = 0; i < WEIGHTS; i++) {
      out[i] = a && b ? (a[i]! * (1 - mix) + b[i]! * mix) / 255 : 0;
    }
    return out;
  }

  frameAt(sample: number): number {
    return Math.min(Math.floor((sample * this.fps) / this.rate), Math.max(this.end - 1, 0));
  }

  /** Where to begin again after being held at `ms`: the start of the clause, at most 3 s earlier. */
  clauseStart(ms: number): number {
    let start = 0;
    for (const [index, word] of this.words.entries()) {
      if (word.start > ms) break;
      const before = this.words[index - 1];
      const afar = start < ms - LONGEST_REWIND_MS;
      if (!before || CLAUSE_END.test(before.text) || afar) start = word.start;
    }
    return Math.max(start, ms - LONGEST_REWIND_MS, 0);
  }

  /** The words that have begun by `ms`. */
  spoken(ms: number): Word[] {
    return this.words.filter((word) => word.start <= ms);
  }

  /** The words that were heard to their end by `ms`: what counts as said after an interruption. */
  heard(ms: number): Word[] {
    return this.words.filter((word) => word.end <= ms);
  }

  /** The whole sound so far, PCM16. */
  pcm(): Int16Array {
    const all = new Int16Array(this.sounds.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.sounds) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  weights(): Uint8Array[] {
    return this.faces;
  }

  private keep(weights: Uint8Array, pcm: Int16Array): Int16Array {
    this.faces.push(weights);
    this.sounds.push(pcm);
    return pcm;
  }
}
