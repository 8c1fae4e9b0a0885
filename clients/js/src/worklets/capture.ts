/** The audio thread's side of the microphone: collects samples into PCM16 chunks of fixed length. */

class CaptureProcessor extends AudioWorkletProcessor {
  private chunk: Int16Array;
  private filled = 0;

  constructor(options: { processorOptions: { samples: number } }) {
    super();
    this.chunk = new Int16Array(options.processorOptions.samples);
  }

  process(inputs: Float32Array[][]): boolean {
    for (const value of inputs[0]?.[0] ?? []) {
      this.chunk[this.filled++] = Math.round(Math.max(-1, Math.min(1, value)) * 32767);
      if (this.filled === this.chunk.length) {
        const full = this.chunk;
        this.chunk = new Int16Array(full.length);
        this.filled = 0;
        this.port.postMessage(full, [full.buffer]);
      }
    }
    return true;
  }
}

registerProcessor("visavis-capture", CaptureProcessor);
