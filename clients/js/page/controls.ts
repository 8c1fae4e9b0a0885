/** The row of controls: microphone (tap or hold), text, stop. */

import { MicrophoneError, type Microphone, type Playback, type VisavisClient } from "../src";
import { byId } from "./dom";
import { icon } from "./icons";
import type { Notices } from "./notices";
import type { PreferenceStore } from "./preferences";

/** Milliseconds: a shorter press is a tap. */
const HOLD_MS = 350;

export interface Parts {
  client: VisavisClient;
  player: Playback;
  microphone: Microphone;
  preferences: PreferenceStore;
  notices: Notices;
  onText: (text: string) => void;
  onMicrophone: (on: boolean) => void;
}

export class Controls {
  private readonly button = byId<HTMLButtonElement>("microphone");
  private readonly field = byId<HTMLInputElement>("text");
  private readonly stopButton = byId<HTMLButtonElement>("stop");
  private press: { at: number; wasOn: boolean; hold: ReturnType<typeof setTimeout> } | null = null;
  private starting: Promise<boolean> | null = null;
  /** Heard before it was clear whether the button is tapped or held; null once the server was told. */
  private early: Int16Array[] | null = [];
  on = false;

  constructor(private readonly parts: Parts) {
    this.button.append(icon("microphone"));
    byId("send").append(icon("send"));
    this.stopButton.append(icon("stop"));
    this.show();
    byId<HTMLFormElement>("controls").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.field.addEventListener("input", () => this.show());
    this.stopButton.addEventListener("click", () => parts.client.interrupt());
    this.listenToPresses();
    this.listenToKeys();
    parts.microphone.on("chunk", (samples) => (this.early ? this.early.push(samples) : parts.client.sendAudio(samples)));
    parts.microphone.on("level", (db) => {
      this.button.style.setProperty("--level", String(Math.max(0, Math.min(1, (db + 60) / 45)).toFixed(3)));
    });
    parts.microphone.on("lost", (error) => {
      this.end();
      parts.notices.show("microphone", { text: error.message });
    });
  }

  /** Is there something to stop? */
  setSpeaking(speaking: boolean): void {
    this.stopButton.disabled = !speaking;
  }

  say(text: string): void {
    void this.parts.player.unlock();
    this.parts.onText(text);
    this.parts.client.sendText(text);
  }

  /** Another device was chosen while the microphone was on. */
  async restart(): Promise<void> {
    if (!this.on) return;
    this.end();
    await this.begin();
  }

  private submit(): void {
    const text = this.field.value.trim();
    if (!text) return;
    this.field.value = "";
    this.show();
    this.say(text);
  }

  private listenToPresses(): void {
    this.button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.button.setPointerCapture(event.pointerId);
      this.down(event.timeStamp);
    });
    this.button.addEventListener("pointerup", (event) => this.up(event.timeStamp));
    this.button.addEventListener("pointercancel", (event) => this.up(event.timeStamp));
    this.button.addEventListener("contextmenu", (event) => event.preventDefault());
    // Screen readers and voice control click without a pointer or a key.
    this.button.addEventListener("click", (event) => {
      if (event.detail === 0 && !this.press) this.tap();
    });
  }

  private listenToKeys(): void {
    window.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]") && !this.stopButton.disabled) {
        this.parts.client.interrupt();
      }
      if (this.startsText(event)) this.field.focus();
      if (event.key !== " " || !this.spaceIsFree(event.target)) return;
      event.preventDefault();
      if (event.repeat || this.press) return;
      this.down(event.timeStamp);
    });
    window.addEventListener("keyup", (event) => {
      if (event.key !== " " || !this.press) return;
      event.preventDefault();
      this.up(event.timeStamp);
    });
    window.addEventListener("blur", (event) => this.press && this.up(event.timeStamp));
  }

  /** Typing works at once, wherever the focus is not spoken for. */
  private startsText(event: KeyboardEvent): boolean {
    const plain = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
    return plain && event.target === document.body && !document.querySelector("dialog[open]");
  }

  /** Space is push-to-talk wherever it does not already mean something. */
  private spaceIsFree(target: EventTarget | null): boolean {
    if (document.querySelector("dialog[open]")) return false;
    const element = target instanceof Element ? target : null;
    return element === this.button || !element?.closest("input, textarea, select, button, a, summary");
  }

  /** `at` is when it was pressed, not when a busy page got to hear of it (ms). */
  private down(at: number): void {
    const hold = setTimeout(() => {
      this.button.classList.add("held");
      if (this.on) this.announce();
      if (!this.stopButton.disabled) this.parts.client.interrupt();
    }, HOLD_MS);
    this.press = { at, wasOn: this.on, hold };
    if (!this.on) void this.begin();
  }

  private up(at: number): void {
    const press = this.press;
    if (!press) return;
    this.press = null;
    clearTimeout(press.hold);
    this.button.classList.remove("held");
    const tapped = at - press.at < HOLD_MS;
    if (tapped && !press.wasOn && this.parts.preferences.values.microphoneMode === "hands-free") {
      if (this.on) this.announce();
      return;
    }
    if (tapped && !press.wasOn) {
      this.parts.notices.show("hold", { text: "Hold the button, or the space bar, while you speak.", seconds: 5 });
    }
    void Promise.resolve(this.starting).then(() => this.end());
  }

  private tap(): void {
    if (this.on) this.end();
    else void this.begin();
  }

  private begin(): Promise<boolean> {
    this.starting ??= this.start().finally(() => (this.starting = null));
    return this.starting;
  }

  private async start(): Promise<boolean> {
    const { microphone, player, notices, preferences } = this.parts;
    void player.unlock();
    notices.clear("microphone");
    try {
      await microphone.start(preferences.values.microphone || undefined);
    } catch (error) {
      const text = error instanceof MicrophoneError ? error.message : String(error);
      notices.show("microphone", { text });
      return false;
    }
    if (!this.press || this.held) this.announce();
    this.set(true);
    return true;
  }

  /** Is the button held while the user speaks? Then a pause does not end what is being said. */
  private get held(): boolean {
    return this.button.classList.contains("held") || this.parts.preferences.values.microphoneMode === "push-to-talk";
  }

  private announce(): void {
    const { client, microphone } = this.parts;
    client.startAudio(microphone.rate, { handsFree: !this.held });
    for (const samples of this.early ?? []) client.sendAudio(samples);
    this.early = null;
  }

  private end(): void {
    if (!this.on) return;
    this.parts.microphone.stop();
    this.parts.client.endAudio();
    this.early = [];
    this.set(false);
  }

  private set(on: boolean): void {
    this.on = on;
    this.button.style.setProperty("--level", "0");
    this.show();
    this.parts.onMicrophone(on);
  }

  private show(): void {
    const label = this.on ? "Microphone on: tap to switch it off" : "Microphone: tap to talk, or hold while you speak";
    this.button.setAttribute("aria-pressed", String(this.on));
    this.button.setAttribute("aria-label", label);
    this.button.title = this.on ? "Switch the microphone off" : "Tap for hands-free, hold (or hold Space) to talk";
    byId("controls").classList.toggle("typing", this.field.value.trim() !== "");
  }
}
