/** Milliseconds a frame may take before the picture is made cheaper. */
const SLOW = 40;
/** Milliseconds between frames when nothing else helps: 15 a second. */
const SPARSE = 1000 / 15;
/** Frames of evidence for one decision, after as many settling frames. */
const WINDOW = 12;
const RATIOS = [2, 1.5, 1, 0.75, 0.5] as const;

/**
 * Makes the picture cheaper when frames are slow: first fewer pixels, then 15 frames a second.
 *
 * WebGL in `software` starts with 15 frames a second: it takes its time from the processor that also plays the
 * voice. One-way by design: a quality that goes up again would go up and down for ever.
 */
export class FrameBudget {
  /** Drawing-buffer pixels per CSS pixel. */
  pixelRatio: number;
  /** Least milliseconds between two frames; 0 is every display frame. */
  interval: number;
  private times: number[] = [];
  private settling = WINDOW;

  constructor(devicePixelRatio: number, software: boolean) {
    this.pixelRatio = Math.min(devicePixelRatio, software ? 1 : RATIOS[0]);
    this.interval = software ? SPARSE : 0;
  }

  /** Forgets recent frames: loading or a hidden tab makes them say nothing about drawing. */
  settle(): void {
    this.times = [];
    this.settling = WINDOW;
  }

  /** Notes the milliseconds since the frame before; returns true when `pixelRatio` or `interval` changed. */
  note(milliseconds: number): boolean {
    if (this.settling-- > 0) return false;
    this.times.push(milliseconds);
    if (this.times.length < WINDOW) return false;
    const median = this.times.sort((a, b) => a - b)[WINDOW >> 1]!;
    this.settle();
    if (median <= Math.max(SLOW, 1.25 * this.interval)) return false;
    const cheaper = RATIOS.find((ratio) => ratio < this.pixelRatio);
    if (cheaper === undefined && this.interval > 0) return false;
    if (cheaper === undefined) this.interval = SPARSE;
    else this.pixelRatio = cheaper;
    return true;
  }
}
