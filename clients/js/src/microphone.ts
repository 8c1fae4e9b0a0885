/** The microphone as PCM16 chunks, with echo cancellation, and errors that a person can act on. */

import captureWorklet from "./worklets/capture.ts?worker&url";
import { Emitter } from "./emitter";

const CHUNK_SECONDS = 0.032;
const WANTED_RATE = 16000;

export type MicrophoneProblem = "insecure" | "denied" | "missing" | "busy" | "failed";

export class MicrophoneError extends Error {
  constructor(readonly problem: MicrophoneProblem, message: string) {
    super(message);
    this.name = "MicrophoneError";
  }
}

const SENTENCES: Record<MicrophoneProblem, string> = {
  insecure: "Browsers allow the microphone only on https pages and on localhost. You can type instead.",
  denied: "The microphone is blocked for this page. Allow it in the address bar, then press the button again.",
  missing: "No microphone was found. Connect one and press the button again, or type instead.",
  busy: "Another program is using the microphone. Close it there and press the button again.",
  failed: "The microphone could not be started. Press the button again, or type instead.",
};

/** What `getUserMedia` rejected with, as one of our problems. */
export function microphoneError(cause: unknown): MicrophoneError {
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : "";
  const problem: MicrophoneProblem =
    name === "NotAllowedError" || name === "SecurityError" ? "denied"
    : name === "NotFoundError" || name === "OverconstrainedError" ? "missing"
    : name === "NotReadableError" || name === "AbortError" ? "busy"
    : "failed";
  return new MicrophoneError(problem, SENTENCES[problem]);
}

export interface MicrophoneEvents {
  chunk: Int16Array;
  /** Loudness of a chunk: root mean square in dB below full scale (-100..0). */
  level: number;
  /** The device went away. */
  lost: MicrophoneError;
}

/** Root mean square of PCM16 samples in dB relative to full scale, -100 at least. */
export function loudness(samples: Int16Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.max(-100, 10 * Math.log10(sum / Math.max(1, samples.length) / 32768 ** 2 + 1e-12));
}

export async function listMicrophones(): Promise<MediaDeviceInfo[]> {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId !== "");
}

export class Microphone extends Emitter<MicrophoneEvents> {
  /** Hz of the chunks while it is on. */
  rate = 0;
  private stream: MediaStream | null = null;
  private context: AudioContext | null = null;

  get active(): boolean {
    return this.stream !== null;
  }

  /** Ask for the microphone (another one if `deviceId` is gone) and start; call it from a click or a key press. Throws MicrophoneError. */
  async start(deviceId?: string): Promise<void> {
    if (!navigator.mediaDevices?.getUserMedia) throw new MicrophoneError("insecure", SENTENCES.insecure);
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
          channelCount: 1,
          ...(deviceId ? { deviceId: { ideal: deviceId } } : {}),
        },
      });
      this.stream = stream;
      this.context = await this.capture(stream);
      this.rate = this.context.sampleRate;
    } catch (cause) {
      this.stop();
      throw microphoneError(cause);
    }
  }

  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    void this.context?.close();
    this.stream = this.context = null;
  }

  /** Some browsers cannot resample a microphone: then the chunks have the device's own rate. */
  private async capture(stream: MediaStream): Promise<AudioContext> {
    try {
      return await this.connect(stream, new AudioContext({ sampleRate: WANTED_RATE }));
    } catch {
      return this.connect(stream, new AudioContext());
    }
  }

  private async connect(stream: MediaStream, context: AudioContext): Promise<AudioContext> {
    try {
      const source = context.createMediaStreamSource(stream);
      await context.audioWorklet.addModule(captureWorklet);
      const samples = Math.round(context.sampleRate * CHUNK_SECONDS);
      const node = new AudioWorkletNode(context, "visavis-capture", {
        numberOfOutputs: 0,
        channelCount: 1,
        channelCountMode: "explicit",
        processorOptions: { samples },
      });
      node.port.onmessage = (event: MessageEvent<Int16Array>) => {
        this.emit("chunk", event.data);
        this.emit("level", loudness(event.data));
      };
      source.connect(node);
      stream.getAudioTracks()[0]?.addEventListener("ended", () => {
        this.stop();
        this.emit("lost", new MicrophoneError("missing", "The microphone was disconnected."));
      });
      await context.resume();
      return context;
    } catch (cause) {
      await context.close();
      throw cause;
    }
  }
}
