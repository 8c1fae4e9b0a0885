/** The 52 curves, one under the other, with the moment that is heard. */

import { byId, el } from "../page/dom";
import type { Recording } from "./recording";
import { groups, QUIET, type Row } from "./shapes";
import { clock, type Stretch, stretch, within } from "./time";

interface Line {
  canvas: HTMLCanvasElement;
  value: HTMLElement;
  row: Row;
  top: number;
  shown: string;
}

export class Curves {
  /** Called with the second that somebody points at. */
  onSeek: (seconds: number) => void = () => {};
  private readonly box = byId("rows");
  private readonly ruler = el("canvas", { "aria-hidden": "true" });
  private readonly playhead = el("div", { class: "playhead", "aria-hidden": "true" });
  private lines: Line[] = [];
  private recording: Recording | null = null;
  private stretch: Stretch = { start: 0, end: 0 };
  private frame = -1;

  constructor() {
    new ResizeObserver(() => this.draw()).observe(this.ruler);
    const seek = (event: PointerEvent) => {
      const { canvas } = this.lines[0] ?? {};
      if (!canvas || !(event.target instanceof HTMLCanvasElement)) return;
      const { left, width } = canvas.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (event.clientX - left) / width));
      this.onSeek(this.stretch.start + part * (this.stretch.end - this.stretch.start));
    };
    this.box.addEventListener("pointerdown", seek);
    this.box.addEventListener("pointermove", (event) => event.buttons === 1 && seek(event));
  }

  show(recording: Recording): void {
    this.recording = recording;
    this.lines = [];
    const sections = groups(recording.curves).map(({ title, rows, top }) =>
      el("section", { class: "group" },
        el("h3", {}, title, el("span", {}, `0 to ${top}`)),
        el("ul", {}, ...rows.map((row) => this.line(row, top)))));
    const ruler = el("div", { class: "ruler" }, el("span"), this.ruler);
    this.box.replaceChildren(ruler, el("div", { class: "lines" }, ...sections, this.playhead));
    this.frame = -1;
    this.stretch = { start: 0, end: 0 };
  }

  /** The face at `time`, which is in frame `frame`. */
  update(time: number, frame: number): Stretch {
    if (!this.recording) return this.stretch;
    const now = stretch(time, this.recording.seconds);
    if (now.start !== this.stretch.start || now.end !== this.stretch.end) {
      this.stretch = now;
      this.draw();
    }
    this.playhead.style.setProperty("--at", within(now, time).toFixed(4));
    if (frame !== this.frame) {
      this.frame = frame;
      for (const line of this.lines) tell(line, frame);
    }
    return now;
  }

  draw(): void {
    const { recording } = this;
    if (!recording) return;
    const { accentColor } = getComputedStyle(this.box);
    for (const { canvas, row, top } of this.lines) {
      drawCurve(canvas, row.curve, recording.fps, this.stretch, top, accentColor);
    }
    drawRuler(this.ruler, this.stretch);
  }

  private line(row: Row, top: number): HTMLElement {
    const canvas = el("canvas", { "aria-hidden": "true" });
    const value = el("span", { class: "value" });
    this.lines.push({ canvas, value, row, top, shown: "" });
    const kind = row.peak < QUIET ? "line quiet-line" : "line";
    return el("li", { class: kind }, el("span", { class: "shape", title: row.name }, row.name), canvas, value);
  }
}

function tell(line: Line, frame: number): void {
  const text = (line.row.curve[frame] ?? 0).toFixed(2);
  if (text === line.shown) return;
  line.value.textContent = line.shown = text;
}

/** A canvas as many pixels large as it is on the screen; null while it is not. */
export function fitted(canvas: HTMLCanvasElement): { pen: CanvasRenderingContext2D; width: number; height: number } | null {
  const { clientWidth: width, clientHeight: height } = canvas;
  const pen = canvas.getContext("2d");
  if (!pen || !width || !height) return null;
  const ratio = window.devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  pen.scale(canvas.width / width, canvas.height / height);
  return { pen, width, height };
}

function drawCurve(
  canvas: HTMLCanvasElement, curve: Float32Array, fps: number, { start, end }: Stretch, top: number,
  colour: string,
): void {
  const sheet = fitted(canvas);
  if (!sheet) return;
  const { pen, width, height } = sheet;
  const first = Math.max(0, Math.floor(start * fps) - 1);
  const last = Math.min(curve.length - 1, Math.ceil(end * fps) + 1);
  const x = (frame: number) => (((frame + 0.5) / fps - start) / (end - start)) * width;
  const y = (frame: number) => height - 1 - (curve[frame]! / top) * (height - 3);
  pen.beginPath();
  pen.moveTo(x(first), height);
  for (let frame = first; frame <= last; frame++) pen.lineTo(x(frame), y(frame));
  pen.lineTo(x(last), height);
  pen.fillStyle = pen.strokeStyle = colour;
  pen.globalAlpha = 0.16;
  pen.fill();
  pen.globalAlpha = 1;
  pen.beginPath();
  for (let frame = first; frame <= last; frame++) pen.lineTo(x(frame), y(frame));
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
}

function drawRuler(canvas: HTMLCanvasElement, { start, end }: Stretch): void {
  const sheet = fitted(canvas);
  if (!sheet) return;
  const { pen, width, height } = sheet;
  const style = getComputedStyle(canvas);
  pen.fillStyle = style.color;
  pen.font = `11px ${style.fontFamily}`;
  let free = 0;
  for (let second = Math.ceil(start); second <= end; second++) {
    const x = ((second - start) / (end - start)) * width;
    pen.fillRect(Math.round(x), height - 5, 1, 5);
    const label = clock(second).replace(/\.00$/, "");
    const size = pen.measureText(label).width;
    const left = Math.min(width - size, Math.max(0, x - size / 2));
    if (left < free) continue;
    pen.fillText(label, left, height - 8);
    free = left + size + 6;
  }
}
