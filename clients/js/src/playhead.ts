/** Where playback stands, from the audio thread's reports: one clock, the samples that were played. */

export interface Place {
  turn: number;
  /** Sample of the turn. */
  sample: number;
  moving: boolean;
}

interface Anchor extends Place {
  /** Seconds on the audio context's clock. */
  time: number;
  /** The furthest sample known to be there. */
  limit: number;
}

export class Playhead {
  private anchors: Anchor[] = [];

  constructor(private readonly rate: number) {}

  /** From `time` on the tape of `turn` stands at `sample` or moves on from there, `buffered` seconds at most. */
  mark(turn: number, sample: number, time: number, moving: boolean, buffered: number): void {
    this.anchors.push({ turn, sample, time, moving, limit: sample + buffered * this.rate });
    if (this.anchors.length > 64) this.anchors.shift();
  }

  clear(): void {
    this.anchors = [];
  }

  /** What comes out of the speaker at `time`; null while no turn is being heard. */
  at(time: number): Place | null {
    let found: Anchor | null = null;
    for (const anchor of this.anchors) {
      if (anchor.time > time) break;
      found = anchor;
    }
    if (!found) return null;
    const { turn, moving } = found;
    const sample = moving ? found.sample + (time - found.time) * this.rate : found.sample;
    return { turn, sample: Math.floor(Math.min(sample, found.limit)), moving };
  }
}
