/** PCM16 at a lower rate, for browsers whose microphone cannot have the rate that is wanted. */
export class Decimator {
  private readonly step: number;
  private sum = 0;
  private count = 0;
  private due: number;

  /** Hz. */
  constructor(from: number, to: number) {
    this.step = Math.max(1, from / to);
    this.due = this.step;
  }

  /** Each sample is the mean of those that it stands for. */
  feed(samples: Int16Array): Int16Array {
    if (this.step === 1) return samples;
    const out: number[] = [];
    for (const sample of samples) {
      this.sum += sample;
      this.count++;
      if (--this.due > 0.5) continue;
      out.push(this.sum / this.count);
      this.sum = this.count = 0;
      this.due += this.step;
    }
    return Int16Array.from(out, Math.round);
  }
}
