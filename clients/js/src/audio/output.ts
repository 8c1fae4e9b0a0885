/** A Deck connected to the speakers: in the audio thread where the browser allows it. */

import playerWorklet from "../worklets/player.ts?worker&url";
import { Deck, type DeckCommand, type DeckReport } from "./deck";

const FADE_SECONDS = 0.01;

export interface OutputOptions {
  /** Hz of the samples. */
  rate: number;
  /** Samples buffered before playback starts. */
  start: number;
}

export interface Output {
  post(command: DeckCommand): void;
  /** Loudness, 0..1. */
  setVolume(level: number): void;
  close(): void;
}

/**
 * Audio worklets exist only on secure pages (https or localhost); elsewhere the same Deck runs on the main
 * thread, which is good enough to hear somebody.
 */
export async function openOutput(
  context: AudioContext, options: OutputOptions, report: (report: DeckReport) => void,
): Promise<Output> {
  try {
    await context.audioWorklet.addModule(playerWorklet);
  } catch {
    return openFallback(context, options, report);
  }
  const node = new AudioWorkletNode(context, "visavis-player", {
    numberOfInputs: 0,
    outputChannelCount: [2],
    processorOptions: options,
  });
  node.port.onmessage = (event: MessageEvent<DeckReport>) => report(event.data);
  return { post: (command) => node.port.postMessage(command), ...loudspeaker(context, node) };
}

function openFallback(
  context: AudioContext, options: OutputOptions, report: (report: DeckReport) => void,
): Output {
  const deck = new Deck({ ...options, outputRate: context.sampleRate }, report);
  const node = context.createScriptProcessor(1024, 0, 1);
  node.onaudioprocess = (event) => deck.process(event.outputBuffer.getChannelData(0), event.playbackTime);
  return { post: (command) => deck.handle(command), ...loudspeaker(context, node) };
}

function loudspeaker(context: AudioContext, node: AudioNode): Pick<Output, "setVolume" | "close"> {
  const gain = context.createGain();
  node.connect(gain).connect(context.destination);
  const setVolume = (level: number) => gain.gain.setTargetAtTime(level, context.currentTime, FADE_SECONDS);
  return { setVolume, close: () => node.disconnect() };
}
