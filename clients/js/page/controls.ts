/** The row of controls: microphone (tap or hold), text, stop. */

import { MicrophoneButton, type Microphone, type Playback, type VisavisClient } from "../src";
import { byId } from "./dom";
import { icon } from "./icons";
import type { Notices } from "./notices";
import type { PreferenceStore } from "./preferences";

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
  private readonly talk: MicrophoneButton;

  constructor(private readonly parts: Parts) {
    this.button.append(icon("microphone"));
    byId("send").append(icon("send"));
    this.stopButton.append(icon("stop"));
    byId<HTMLFormElement>("controls").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.field.addEventListener("input", () => this.show());
    this.stopButton.addEventListener("click", () => parts.client.interrupt());
    this.listenToKeys();
    this.talk = this.microphoneButton();
    this.show();
    parts.microphone.on("level", (db) => {
      this.button.style.setProperty("--level", String(Math.max(0, Math.min(1, (db + 60) / 45)).toFixed(3)));
    });
  }

  get on(): boolean {
    return this.talk.on;
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
    this.talk.end();
    await this.talk.begin().catch(() => undefined); // it was shown
  }

  private microphoneButton(): MicrophoneButton {
    const { client, microphone, preferences, notices, onMicrophone } = this.parts;
    return new MicrophoneButton({
      button: this.button, microphone, client: () => client, start: () => this.start(),
      holdOnly: () => preferences.values.microphoneMode === "push-to-talk",
      keys: window, spaceIsFree: ({ target }) => this.spaceIsFree(target),
      onChange: (on) => {
        this.button.style.setProperty("--level", "0");
        this.show();
        onMicrophone(on);
      },
      onProblem: (error) => notices.show("microphone", { text: error.message }),
      onHold: () => this.stopButton.disabled || client.interrupt(),
      onTap: () => notices.show("hold", { text: "Hold the button, or the space bar, while you speak.", seconds: 5 }),
    });
  }

  private submit(): void {
    const text = this.field.value.trim();
    if (!text) return;
    this.field.value = "";
    this.show();
    this.say(text);
  }

  private listenToKeys(): void {
    window.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]") && !this.stopButton.disabled) {
        this.parts.client.interrupt();
      }
      if (this.startsText(event)) this.field.focus();
    });
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

  private async start(): Promise<void> {
    const { microphone, player, notices, preferences } = this.parts;
    void player.unlock();
    notices.clear("microphone");
    await microphone.start(preferences.values.microphone || undefined);
  }

  private show(): void {
    const label = this.on ? "Microphone on: tap to switch it off" : "Microphone: tap to talk, or hold while you speak";
    this.button.setAttribute("aria-label", label);
    this.button.title = this.on ? "Switch the microphone off" : "Tap for hands-free, hold (or hold Space) to talk";
    byId("controls").classList.toggle("typing", this.field.value.trim() !== "");
  }
}
