/** `?debug`: what builders want to see while the avatar talks. */

import { BLENDSHAPES, type Playback, type Turn, type VisavisClient, wav } from "../src";
import { byId, el, save } from "./dom";
import type { LogEntry, Recorder } from "./record";

const LINES = 200;

export class DebugPanel {
  private readonly events = el("ol", { class: "debug-events", tabindex: 0, "aria-label": "Events" });
  private readonly numbers = el("pre", { class: "debug-numbers" });
  private readonly bars = el("canvas", { width: 312, height: 96, "aria-hidden": "true" });
  private readonly label = el("p", { class: "debug-label" });
  private shownFrames = 0;
  private skippedFrames = 0;
  private lastShown = { turn: -1, frame: -1 };

  constructor(
    private readonly client: VisavisClient,
    private readonly player: Playback,
    recorder: Recorder,
    private readonly view: () => { weights: Float32Array } | null,
  ) {
    byId("debug").append(
      el("details", { class: "debug", open: true },
        el("summary", {}, "Debug"), this.numbers, this.bars, this.label,
        el("div", { class: "debug-files" },
          el("button", { type: "button", class: "link", click: () => this.saveSound() }, "Save last turn (.wav)"),
          el("button", { type: "button", class: "link", click: () => this.saveFace() }, "Save its face (.json)")),
        this.events));
    this.bars.addEventListener("pointermove", (event) => {
      const index = Math.floor((event.offsetX / this.bars.clientWidth) * BLENDSHAPES.length);
      this.label.textContent = `${BLENDSHAPES[index]} ${(this.view()?.weights[index] ?? 0).toFixed(2)}`;
    });
    for (const entry of recorder.log) this.add(entry);
    recorder.onEntry = (entry) => this.add(entry);
    this.tick();
  }

  private add(entry: LogEntry): void {
    const { t, type, timestamp: _, blendshapes: __, sessionId: ___, ...rest } = entry;
    const details = JSON.stringify(rest);
    this.events.prepend(el("li", { title: details }, `${(t / 1000).toFixed(2)} ${type} ${details === "{}" ? "" : details}`));
    while (this.events.childElementCount > LINES) this.events.lastElementChild!.remove();
  }

  private readonly tick = (): void => {
    requestAnimationFrame(this.tick);
    this.count();
    const { stats } = this.player;
    const position = this.player.position();
    this.numbers.textContent = [
      `turn ${position?.turn.number ?? "-"}  frame ${position?.frame ?? "-"}  at ${((position?.ms ?? 0) / 1000).toFixed(2)} s`,
      `buffer ${(stats.buffered * 1000).toFixed(0)} ms  jitter ${stats.jitter.toFixed(1)} ms  underruns ${stats.underruns}`,
      `frames ${stats.received}  shown ${this.shownFrames}  skipped ${this.skippedFrames}  missing ${stats.missing}  twice ${stats.repeated}`,
      `output ${(stats.outputLatency * 1000).toFixed(0)} ms at ${stats.contextRate} Hz  round trip ${this.client.roundTripMs} ms`,
      `microphone chunks dropped ${this.client.droppedChunks}`,
    ].join("\n");
    this.draw(this.view()?.weights);
  };

  /** A display slower than the stream skips frames of the face; none is skipped of the sound. */
  private count(): void {
    const shown = this.player.frameNow();
    if (!shown) return;
    const { turn, frame } = { turn: shown.turn.number, frame: shown.frame };
    if (this.lastShown.turn === turn && frame > this.lastShown.frame + 1) this.skippedFrames += frame - this.lastShown.frame - 1;
    if (this.lastShown.turn !== turn || this.lastShown.frame !== frame) this.shownFrames++;
    this.lastShown = { turn, frame };
  }

  private draw(weights: Float32Array | undefined): void {
    const context = this.bars.getContext("2d");
    if (!context || !weights) return;
    const { width, height } = this.bars;
    context.clearRect(0, 0, width, height);
    context.fillStyle = getComputedStyle(this.bars).color;
    const step = width / BLENDSHAPES.length;
    for (let i = 0; i < BLENDSHAPES.length; i++) {
      const tall = Math.max(1, weights[i]! * height);
      context.fillRect(i * step, height - tall, step - 1, tall);
    }
  }

  private saveSound(): void {
    const turn = this.player.latest;
    if (turn) save(wav(turn.pcm(), turn.rate), `${turn.id}.wav`);
  }

  private saveFace(): void {
    const turn = this.player.latest;
    if (turn) save(new Blob([JSON.stringify(face(turn))], { type: "application/json" }), `${turn.id}.json`);
  }
}

function face(turn: Turn): object {
  const frames = turn.weights().map((row) => Array.from(row, (value) => Math.round((value / 255) * 1000) / 1000));
  return { fps: turn.fps, blendshapes: BLENDSHAPES, first: turn.first, words: turn.words, weights: frames };
}
