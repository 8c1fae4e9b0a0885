import { COUNT, shape } from "./arkit";

/** Seconds until the server's weights have taken over from local life, and until life has the face back. */
export const ATTACK = 0.08;
export const RELEASE = 0.12;

const JAW_OPEN = shape("jawOpen");
const MOUTH_CLOSE = shape("mouthClose");

/**
 * Cross-fades between local life and the weights that arrive with speech.
 *
 * Between the two ramps the weights pass through untouched: any smoothing in time would smear the lip closures
 * of p, b and m, which last two or three frames.
 */
export class SpeechBlend {
  /** 0: life only; 1: speech only. */
  level = 0;
  private speaking = false;
  private readonly last = new Float32Array(COUNT);

  /** Takes the 52 weights of this instant (values outside 0..1 are clamped), or null when nobody speaks. */
  speak(weights: Float32Array | null): void {
    this.speaking = weights !== null;
    if (weights === null) return;
    if (weights.length !== COUNT) throw new RangeError(`speak() takes ${COUNT} weights, not ${weights.length}.`);
    for (let i = 0; i < COUNT; i++) this.last[i] = clamp01(weights[i]!);
  }

  /** How wide the speaking mouth is open, 0..1: the energy that moves the head. */
  get energy(): number {
    return this.speaking ? this.last[JAW_OPEN]! : 0;
  }

  /** Writes what `seconds` later is to be seen into `out`. */
  mix(life: Float32Array, seconds: number, out: Float32Array): void {
    const step = this.speaking ? seconds / ATTACK : -seconds / RELEASE;
    this.level = Math.min(1, Math.max(0, this.level + step));
    for (let i = 0; i < COUNT; i++) {
      const rest = life[i]!;
      out[i] = rest + (this.last[i]! - rest) * this.level;
    }
    clampMouthClose(out);
  }
}

/** Lips can close only the gap the jaw has opened: beyond it they would pass through each other. */
export function clampMouthClose(weights: Float32Array): void {
  if (weights[MOUTH_CLOSE]! > weights[JAW_OPEN]!) weights[MOUTH_CLOSE] = weights[JAW_OPEN]!;
}

function clamp01(value: number): number {
  return value > 0 ? Math.min(value, 1) : 0;
}
