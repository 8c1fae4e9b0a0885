/** Windowed-sinc interpolation, for devices that refuse the stream's own sample rate. */

const HALF = 8;
const PHASES = 256;

function makeTable(): Float32Array {
  const table = new Float32Array((PHASES + 1) * 2 * HALF);
  for (let phase = 0; phase <= PHASES; phase++) {
    let sum = 0;
    const row = table.subarray(phase * 2 * HALF, (phase + 1) * 2 * HALF);
    for (let tap = 0; tap < 2 * HALF; tap++) {
      const x = tap - (HALF - 1) - phase / PHASES;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / HALF);
      sum += row[tap] = Math.abs(x) < HALF ? sinc * window : 0;
    }
    for (let tap = 0; tap < 2 * HALF; tap++) row[tap]! /= sum;
  }
  return table;
}

const TABLE = makeTable();

/** The value of `samples[0..length)` (PCM16) at a fractional position, in -1..1; silence outside. */
export function sampleAt(samples: Int16Array, length: number, position: number): number {
  const whole = Math.floor(position);
  const row = Math.round((position - whole) * PHASES) * 2 * HALF;
  let sum = 0;
  for (let tap = 0; tap < 2 * HALF; tap++) {
    const index = whole + tap - (HALF - 1);
    if (index >= 0 && index < length) sum += samples[index]! * TABLE[row + tap]!;
  }
  return sum / 32768;
}
