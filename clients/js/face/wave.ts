/** The whole recording as its loudness, to move about in. */

import { byId } from "../page/dom";
import { fitted } from "./curves";
import type { Recording } from "./recording";
import { clock, loudness, type Stretch } from "./time";

/** Seconds that PageUp and PageDown move. */
const PAGE = 1;

export class Wave {
  onSeek: (seconds: number) => void = () => {};
  private readonly box = byId("wave");
  private readonly canvas = this.box.querySelector("canvas")!;
  private readonly window = this.box.querySelector<HTMLElement>(".wave-window")!;
  private readonly playhead = this.box.querySelector<HTMLElement>(".playhead")!;
  private recording: Recording | null = null;
  private told = -1;

  constructor() {
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.box.addEventListener("pointerdown", (event) => {
      this.box.setPointerCapture(event.pointerId);
      this.point(event);
    });
    this.box.addEventListener("pointermove", (event) => this.box.hasPointerCapture(event.pointerId) && this.point(event));
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  show(recording: Recording): void {
    this.recording = recording;
    this.told = -1;
    this.box.setAttribute("aria-valuemax", recording.seconds.toFixed(2));
    this.box.removeAttribute("aria-disabled");
    this.draw();
  }

  /** `shown`: what the curves show. */
  update(time: number, playing: boolean, shown: Stretch): void {
    if (!this.recording) return;
    const { seconds } = this.recording;
    this.playhead.style.setProperty("--at", (time / seconds).toFixed(5));
    this.window.hidden = shown.end - shown.start >= seconds;
    this.window.style.left = `${(shown.start / seconds) * 100}%`;
    this.window.style.width = `${((shown.end - shown.start) / seconds) * 100}%`;
    // A screen reader would read every hundredth: while it plays, seconds are enough.
    const told = playing ? Math.floor(time) : time;
    if (told === this.told) return;
    this.told = told;
    this.box.setAttribute("aria-valuenow", time.toFixed(2));
    this.box.setAttribute("aria-valuetext", `${clock(time)} of ${clock(seconds)}`);
  }

  draw(): void {
    const sheet = this.recording && fitted(this.canvas);
    if (!sheet || !this.recording) return;
    const { pen, width, height } = sheet;
    pen.fillStyle = getComputedStyle(this.canvas).color;
    const columns = Math.floor(width / 3);
    const peaks = loudness(this.recording.samples, columns);
    const highest = Math.max(0.05, ...peaks);
    peaks.forEach((peak, column) => {
      const tall = Math.max(2, (peak / highest) * (height - 4));
      pen.beginPath();
      pen.roundRect(column * 3, (height - tall) / 2, 2, tall, 1);
      pen.fill();
    });
  }

  private point(event: PointerEvent): void {
    if (!this.recording) return;
    const { left, width } = this.box.getBoundingClientRect();
    this.onSeek(((event.clientX - left) / width) * this.recording.seconds);
  }

  private key(event: KeyboardEvent): void {
    if (!this.recording) return;
    const { seconds } = this.recording;
    const time = (Number(this.box.getAttribute("aria-valuenow")) || 0);
    const target = { Home: 0, End: seconds, PageUp: time + PAGE, PageDown: time - PAGE }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.onSeek(target);
  }
}
