/** Paper that rains over the page; it takes no clicks and leaves nothing behind. */

import { el } from "./dom";

const PIECES = 160;
const SECONDS = 4;
const GRAVITY = 900;
/** Of its speed a piece keeps this much each second: paper floats. */
const DRAG = 0.3;
const COLOURS = ["#f2545b", "#ffb703", "#12a594", "#3a86ff", "#a06cd5", "#ff8fab"];

interface Piece {
  x: number;
  y: number;
  vx: number;
  vy: number;
  size: number;
  turn: number;
  spin: number;
  colour: string;
}

/** Throw confetti from both lower corners; for who wants less motion it lies still for a moment. */
export function confetti(): void {
  const canvas = el("canvas", { class: "confetti", "aria-hidden": "true" });
  document.body.append(canvas);
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = Math.min(2, devicePixelRatio);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const pieces = Array.from({ length: PIECES }, (_, number) => thrown(number, width, height));
  const began = performance.now();
  let last = began;
  if (still) for (let step = 0; step < 30; step++) pieces.forEach((piece) => move(piece, 1 / 30));

  const frame = (now: number) => {
    const age = (now - began) / 1000;
    if (!pen || age > SECONDS) return canvas.remove();
    if (!still) pieces.forEach((piece) => move(piece, Math.min(0.1, (now - last) / 1000)));
    last = now;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.globalAlpha = Math.min(1, SECONDS - age);
    for (const piece of pieces) draw(pen, piece, scale);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

function thrown(number: number, width: number, height: number): Piece {
  const left = number % 2 === 0;
  const angle = (0.2 + 0.27 * Math.random()) * Math.PI;
  const speed = Math.sqrt(height * 2 * GRAVITY) * (0.6 + 0.7 * Math.random());
  return {
    x: left ? 0 : width,
    y: height,
    vx: Math.cos(angle) * speed * (left ? 1 : -1),
    vy: -Math.sin(angle) * speed,
    size: 6 + 6 * Math.random(),
    turn: 2 * Math.PI * Math.random(),
    spin: 10 * (Math.random() - 0.5),
    colour: COLOURS[number % COLOURS.length]!,
  };
}

function move(piece: Piece, seconds: number): void {
  const kept = DRAG ** seconds;
  piece.vx *= kept;
  piece.vy = piece.vy * kept + GRAVITY * seconds;
  piece.x += piece.vx * seconds;
  piece.y += piece.vy * seconds;
  piece.turn += piece.spin * seconds;
}

function draw(pen: CanvasRenderingContext2D, piece: Piece, scale: number): void {
  const [cos, sin] = [Math.cos(piece.turn) * scale, Math.sin(piece.turn) * scale];
  pen.setTransform(cos, sin, -sin, cos, piece.x * scale, piece.y * scale);
  pen.fillStyle = piece.colour;
  // It tumbles: seen from the side a piece is thin.
  const tall = piece.size * (0.3 + 0.7 * Math.abs(Math.cos(3 * piece.turn)));
  pen.fillRect(-piece.size / 2, -tall / 2, piece.size, tall);
}
