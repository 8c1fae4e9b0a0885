/** The microphone's button: a tap switches it on or off; held, it is on while somebody speaks, and no pause ends their turn. */

import type { VisavisClient } from "./client";
import type { Microphone } from "./microphone";

/** Milliseconds: a shorter press is a tap. */
const HOLD_MS = 350;

export interface MicrophoneButtonParts {
  button: HTMLElement;
  microphone: Microphone;
  client: () => VisavisClient | null;
  /** Start the microphone; from a click or a key press. */
  start: () => Promise<void>;
  /** Has it to be held? Then a tap does nothing. */
  holdOnly: () => boolean;
  /** Where the space bar works like the button, and whether it is free there. */
  keys: EventTarget;
  spaceIsFree: (event: KeyboardEvent) => boolean;
  /** The microphone is on or off. */
  onChange: (on: boolean) => void;
  /** It could not be started, or was lost. */
  onProblem: (error: Error) => void;
  /** It is held: what the avatar says is interrupted. */
  onHold?: () => void;
  /** It was tapped where it has to be held. */
  onTap?: () => void;
}

export class MicrophoneButton {
  on = false;
  private press: { at: number; wasOn: boolean; hold: ReturnType<typeof setTimeout> } | null = null;
  /** Held, or asked for as if it were. */
  private held = false;
  private starting: Promise<void> | null = null;
  /** Heard before it was clear whether the button is tapped or held; null once the server was told. */
  private early: Int16Array[] | null = [];

  constructor(private readonly parts: MicrophoneButtonParts) {
    this.listenToPresses();
    this.listenToKeys();
    parts.microphone.on("chunk", (samples) => {
      if (this.early) this.early.push(samples);
      else parts.client()?.sendAudio(samples);
    });
    parts.microphone.on("lost", (error) => {
      this.end();
      parts.onProblem(error);
    });
  }

  /** Switch the microphone on; without `handsFree` no pause ends the turn. Rejects when it cannot be started. */
  begin({ handsFree = true }: { handsFree?: boolean } = {}): Promise<void> {
    if (!this.press) this.held = !handsFree;
    if (this.on) this.announce();
    else this.starting ??= this.start().finally(() => (this.starting = null));
    return this.starting ?? Promise.resolve();
  }

  /** Switch it off: what was said is complete. */
  end(): void {
    if (this.starting) return void this.starting.then(() => this.end(), () => undefined);
    this.held = false;
    if (!this.on) return;
    this.parts.microphone.stop();
    this.parts.client()?.endAudio();
    this.early = [];
    this.set(false);
  }

  private listenToPresses(): void {
    const { button } = this.parts;
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this.down(event.timeStamp);
    });
    button.addEventListener("pointerup", (event) => this.up(event.timeStamp));
    button.addEventListener("pointercancel", (event) => this.up(event.timeStamp));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    // Screen readers and voice control click without a pointer or a key.
    button.addEventListener("click", (event) => {
      if (event.detail === 0 && !this.press) this.tap();
    });
  }

  private listenToKeys(): void {
    const { keys, spaceIsFree } = this.parts;
    const onSpace = (type: string, act: (event: KeyboardEvent) => void) => keys.addEventListener(type, (event) => {
      if ((event as KeyboardEvent).key === " ") act(event as KeyboardEvent);
    });
    onSpace("keydown", (event) => {
      if (!spaceIsFree(event)) return;
      event.preventDefault();
      if (!event.repeat && !this.press) this.down(event.timeStamp);
    });
    onSpace("keyup", (event) => {
      if (!this.press) return;
      event.preventDefault();
      this.up(event.timeStamp);
    });
    keys.addEventListener("blur", (event) => this.up(event.timeStamp));
  }

  /** `at` is when it was pressed, not when a busy page got to hear of it (ms). */
  private down(at: number): void {
    const hold = setTimeout(() => {
      this.held = true;
      this.parts.button.classList.add("held");
      if (this.on) this.announce();
      this.parts.onHold?.();
    }, HOLD_MS);
    this.press = { at, wasOn: this.on, hold };
    if (!this.on) this.tryToBegin();
  }

  private up(at: number): void {
    const press = this.press;
    if (!press) return;
    this.press = null;
    clearTimeout(press.hold);
    this.parts.button.classList.remove("held");
    const tapped = at - press.at < HOLD_MS;
    this.held = !tapped; // a busy page may not have noticed, or may have heard too late of the end
    if (tapped && !press.wasOn && !this.parts.holdOnly()) {
      if (this.on) this.announce();
      return;
    }
    if (tapped && !press.wasOn) this.parts.onTap?.();
    this.end();
  }

  private tap(): void {
    if (this.on) this.end();
    else this.tryToBegin();
  }

  private tryToBegin(): void {
    this.begin().catch(() => undefined); // `onProblem` was told
  }

  private async start(): Promise<void> {
    try {
      await this.parts.start();
    } catch (error) {
      this.held = false;
      this.parts.onProblem(error as Error);
      throw error;
    }
    if (!this.press || this.keepsTurn) this.announce();
    this.set(true);
  }

  private get keepsTurn(): boolean {
    return this.held || this.parts.holdOnly();
  }

  private announce(): void {
    const client = this.parts.client();
    client?.startAudio(this.parts.microphone.rate, { handsFree: !this.keepsTurn });
    for (const samples of this.early ?? []) client?.sendAudio(samples);
    this.early = null;
  }

  private set(on: boolean): void {
    this.on = on;
    this.parts.button.setAttribute("aria-pressed", String(on));
    this.parts.onChange(on);
  }
}
