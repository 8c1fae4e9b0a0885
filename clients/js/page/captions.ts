/** Captions under the face: they follow what is audible, word by word. */

import { captionLines, type CaptionLine, type Position, type Turn, type Word } from "../src";
import { byId, el } from "./dom";

const LINGER_MS = 2600;
const SENTENCE_END = /[.!?…]["')\]]*$/;

export class Captions {
  private readonly box = byId("captions");
  private readonly spoken = byId("spoken");
  private shown = "";
  private told = 0;
  private turn: Turn | null = null;
  private hide: ReturnType<typeof setTimeout> | undefined;

  /** Called for every display frame. */
  update(position: Position | null): void {
    if (!position) return;
    if (this.turn !== position.turn) {
      this.turn = position.turn;
      this.told = 0;
    }
    clearTimeout(this.hide);
    this.hide = undefined;
    this.render(captionLines(position.turn.words, position.ms, this.width()), "");
    this.tellSentences(position.turn.spoken(position.ms));
  }

  /** The turn is over; a thin dash says that there was more to come. */
  end(turn: Turn, ms: number, interrupted: boolean): void {
    if (this.turn === turn && ms >= 0) {
      const words = interrupted ? turn.heard(ms) : turn.words;
      const lines = captionLines(words, Infinity, this.width());
      if (lines.length > 0) this.render(lines, interrupted ? "–" : "");
      else this.box.classList.remove("visible");
      this.tell(words);
    }
    clearTimeout(this.hide);
    this.hide = setTimeout(() => this.box.classList.remove("visible"), LINGER_MS);
  }

  private render(lines: CaptionLine[], tail: string): void {
    const key = JSON.stringify([lines, tail]);
    if (lines.length === 0) return;
    this.box.classList.add("visible");
    if (key === this.shown) return;
    this.shown = key;
    const rows = lines.map((line, index) => this.row(line, index === lines.length - 1 ? tail : ""));
    this.box.replaceChildren(el("div", { class: "caption-box" }, ...rows));
  }

  private row(line: CaptionLine, tail: string): HTMLElement {
    const words = line.words.map((word, index) =>
      el("span", { class: index === line.current ? "word current" : "word" }, word + " "),
    );
    if (tail) words.push(el("span", { class: "cut" }, tail));
    return el("p", {}, ...words);
  }

  /** Screen readers get whole sentences: single words would stumble over one another. */
  private tellSentences(words: Word[]): void {
    let end = words.length - 1;
    while (end > this.told && !SENTENCE_END.test(words[end - 1]!.text)) end--;
    if (end > this.told) this.tell(words.slice(0, end));
  }

  private tell(words: Word[]): void {
    const text = words.slice(this.told).map((word) => word.text).join(" ");
    this.told = words.length;
    if (text) this.spoken.textContent = text;
  }

  private width(): number {
    const size = parseFloat(getComputedStyle(this.box).fontSize);
    return Math.max(16, Math.min(44, Math.floor((this.box.clientWidth - 48) / (size * 0.52))));
  }
}
