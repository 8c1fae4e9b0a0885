/** The audio thread's side of the player: a Deck behind a message port. */

import { Deck, type DeckCommand } from "../audio/deck";

class PlayerProcessor extends AudioWorkletProcessor {
  private readonly deck: Deck;

  constructor(options: { processorOptions: { rate: number; start: number } }) {
    super();
    const { rate, start } = options.processorOptions;
    this.deck = new Deck({ rate, start, outputRate: sampleRate }, (report) => this.port.postMessage(report));
    this.port.onmessage = (event: MessageEvent<DeckCommand>) => this.deck.handle(event.data);
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const channels = outputs[0] ?? [];
    const first = channels[0];
    if (first) {
      this.deck.process(first, currentTime);
      for (const other of channels.slice(1)) other.set(first);
    }
    return true;
  }
}

registerProcessor("visavis-player", PlayerProcessor);
