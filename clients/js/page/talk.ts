/** The conversation as text: what both sides said, as far as it was heard. */

import { segments, type Position, type Turn } from "../src";
import type { Ledger, Source } from "../src";
import { byId, el } from "./dom";

const OPENERS = ["Who are you?", "What can you do?", "Tell me a joke."];

interface Reply {
  item: HTMLElement;
  text: HTMLElement;
  sources: HTMLElement;
  foot: HTMLElement;
  words: number;
  closed: boolean;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;

export class Talk {
  private readonly list = byId<HTMLOListElement>("messages");
  private readonly replies = new Map<string, Reply>();
  private readonly early = new Map<string, [Ledger, number]>();
  private readonly earlySources = new Map<string, Source[]>();
  private partial: HTMLElement | null = null;
  private welcome: HTMLElement | null = null;
  name = "Mia";

  constructor(say: (text: string) => void) {
    const buttons = OPENERS.map((text) => el("button", { type: "button", class: "pill", click: () => say(text) }, text));
    this.welcome = el("li", { class: "welcome" },
      el("p", {}, "Say something, or type it. You can interrupt at any time."),
      el("div", { class: "openers" }, ...buttons));
    this.list.append(this.welcome);
  }

  get empty(): boolean {
    return this.welcome !== null;
  }

  user(text: string): void {
    this.clearPartial();
    this.add(el("li", { class: "said user" }, this.speaker("You"), el("p", {}, text)));
  }

  /** What the user seems to be saying. */
  showPartial(text: string): void {
    if (!text) return this.clearPartial();
    if (!this.partial) {
      const item = el("li", { class: "said user partial" }, this.speaker("You"), el("p"));
      this.add(item);
      this.partial = item;
    }
    this.partial.lastElementChild!.textContent = text;
    this.scroll();
  }

  clearPartial(): void {
    this.partial?.remove();
    this.partial = null;
  }

  /** Called for every display frame: a reply grows with what is heard of it. */
  update(position: Position | null): void {
    if (!position) return;
    const spoken = position.turn.spoken(position.ms);
    if (spoken.length === 0) return;
    const reply = this.reply(position.turn.id);
    if (reply.closed || reply.words >= spoken.length) return;
    reply.words = spoken.length;
    reply.text.textContent = spoken.map((word) => word.text).join(" ");
    this.scroll();
  }

  /** The turn was heard to its end, or cut off after `ms`. */
  end(turn: Turn, ms: number, interrupted: boolean): void {
    const spoken = interrupted ? turn.heard(ms) : turn.words;
    if (spoken.length === 0 && !this.replies.has(turn.id)) return;
    const words = spoken.map((word) => word.text).join(" ");
    this.close(this.reply(turn.id), words, interrupted);
  }

  /** The server's account of what was heard: it is what the agent remembers. */
  cut(turnId: string, text: string): void {
    const reply = this.replies.get(turnId);
    if (reply) this.close(reply, text, true);
  }

  metrics(turnId: string, ledger: Ledger, roundTripMs: number): void {
    const reply = this.replies.get(turnId);
    if (!reply) this.early.set(turnId, [ledger, roundTripMs]);
    else reply.foot.replaceChildren(latencyBar(ledger, roundTripMs));
    this.scroll();
  }

  /** What a reply draws on; it is known before the reply is heard. */
  cite(turnId: string, sources: Source[]): void {
    const reply = this.replies.get(turnId);
    if (!reply) this.earlySources.set(turnId, sources);
    else reply.sources.replaceChildren(...sources.map(sourceNote));
    this.scroll();
  }

  note(text: string): void {
    this.add(el("li", { class: "note" }, text));
  }

  /** A new conversation begins under the old one: its turns have the same numbers. */
  restart(): void {
    this.replies.clear();
    this.early.clear();
    this.earlySources.clear();
    this.clearPartial();
    if (!this.empty) this.note("A new conversation begins here.");
  }

  private reply(turnId: string): Reply {
    const known = this.replies.get(turnId);
    if (known) return known;
    const text = el("p");
    const sources = el("div", { class: "sources" });
    const foot = el("div", { class: "foot" });
    const item = el("li", { class: "said avatar" }, this.speaker(this.name), text, sources, foot);
    const reply = { item, text, sources, foot, words: 0, closed: false };
    this.replies.set(turnId, reply);
    this.add(item);
    this.cite(turnId, this.earlySources.get(turnId) ?? []);
    this.earlySources.delete(turnId);
    const early = this.early.get(turnId);
    if (early) foot.replaceChildren(latencyBar(...early));
    this.early.delete(turnId);
    return reply;
  }

  private close(reply: Reply, words: string, interrupted: boolean): void {
    reply.closed = true;
    reply.text.textContent = words;
    if (interrupted) {
      reply.text.append(el("span", { class: "cut" }, words ? " –" : "–"), el("span", { class: "unseen" }, " (interrupted)"));
    }
  }

  private speaker(name: string): HTMLElement {
    return el("span", { class: "unseen" }, `${name}: `);
  }

  private add(item: HTMLElement): void {
    this.welcome?.remove();
    this.welcome = null;
    this.list.insertBefore(item, this.partial);
    this.scroll();
  }

  private scroll(): void {
    const { scrollHeight, clientHeight, scrollTop } = this.list;
    if (scrollHeight - clientHeight - scrollTop < 240) this.list.scrollTop = scrollHeight;
  }
}

/** A source by its title; opened, it shows what was used of it. */
function sourceNote({ title, url, excerpt }: Source): HTMLElement {
  const address = /^https?:/.test(url) ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url) : "";
  return el("details", {}, el("summary", {}, title), el("p", {}, excerpt), address);
}

/** Where the time went between the end of the question and the first sound of the answer. */
function latencyBar(ledger: Ledger, roundTripMs: number): HTMLElement {
  const parts = segments(ledger, roundTripMs);
  const total = parts.reduce((sum, part) => sum + part.ms, 0);
  const label = el("span", { class: "latency-label" }, seconds(total));
  const name = (text: string) => () => (label.textContent = text);
  const bars = parts.map((part) => {
    const text = `${part.name} ${part.ms} ms`;
    const bar = el("span", {
      class: `segment ${part.name}${part.slow ? " slow" : ""}`, title: text, pointerenter: name(text), click: name(text),
    });
    bar.style.flexGrow = String(part.ms);
    return bar;
  });
  const summary = `Answered in ${seconds(total)}: ${parts.map((part) => `${part.name} ${part.ms} milliseconds`).join(", ")}`;
  const bar = el("div", { class: "latency", role: "img", "aria-label": summary, pointerleave: name(seconds(total)) });
  bar.append(el("span", { class: "segments" }, ...bars), label);
  return bar;
}
