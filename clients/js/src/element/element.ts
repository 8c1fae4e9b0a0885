/** `<visavis-avatar>`: the avatar in any page. */

import type { Head } from "../avatar/head";
import { MicrophoneButton } from "../button";
import { captionLines } from "../captions";
import type { VisavisClient } from "../client";
import { Microphone } from "../microphone";
import type { Playback } from "../player";
import type { TriggerAction } from "../protocol";
import { address } from "../server";
import { chooseView, openTalk, type Talk } from "../talk";
import type { TokenSource } from "../tokens";
import { fill, type Parts } from "./template";

const LINE = 36;
const LINGER_MS = 2500;

/** What the element tells, as `CustomEvent`s with these details. */
export interface AvatarEvents {
  /** `connecting`, `open`, `reconnecting` or `closed`. */
  connection: { status: string; reason?: string };
  /** `Idle`, `Listening`, `Thinking` or `Responding`. */
  state: { state: string };
  /** What one side has said, as far as it was heard. */
  transcript: { role: "assistant" | "user"; text: string; interrupted: boolean };
  turnstart: { turnId: string };
  turnend: { turnId: string; interrupted: boolean };
  /** The agent asks for something: answer with `client.onAction`. */
  action: { name: string; arguments: Record<string, unknown> };
  /** Something went wrong, in a sentence. */
  problem: { code: string; message: string };
}

// On servers, where components are rendered too, there are no elements.
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class VisavisAvatar extends Base {
  static readonly observedAttributes = ["server", "avatar", "token", "video", "muted"];
  /** The server of elements without the attribute `server`; empty is where the page is from. */
  static server = "";
  private readonly parts: Parts;
  private readonly microphone = new Microphone();
  private readonly talkButton: MicrophoneButton;
  private talk: Talk | null = null;
  private head: Head | null = null;
  private opening = false;
  private opened = "";
  private getToken: Exclude<TokenSource, string> | null = null;
  private request = 0;
  private hide: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.parts = fill(this.attachShadow({ mode: "open" }));
    const { controls, input, stop, unlock, recorded, microphone } = this.parts;
    controls.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      input.value = "";
      if (text) this.say(text);
    });
    stop.addEventListener("click", () => this.interrupt());
    unlock.addEventListener("click", () => void this.unlock());
    recorded.addEventListener("click", () => this.talk?.client.refuseRecording());
    this.talkButton = new MicrophoneButton({
      button: microphone, microphone: this.microphone, client: () => this.client,
      start: () => {
        void this.unlock();
        return this.microphone.start();
      },
      holdOnly: () => this.hasAttribute("hold"),
      keys: microphone, spaceIsFree: () => true,
      onChange: () => undefined,
      onProblem: ({ message }) => this.complain("MICROPHONE", message),
      onHold: () => this.parts.stop.disabled || this.interrupt(),
    });
  }

  // -- what a page may do --------------------------------------------------------------------------------
  /** Events, actions and everything else of the conversation; null while the element is not in a page. */
  get client(): VisavisClient | null {
    return this.talk?.client ?? null;
  }

  get player(): Playback | null {
    return this.talk?.player ?? null;
  }

  /** Say something in writing; it interrupts. Call it from a click or a key press, so that the reply is heard. */
  say(text: string): void {
    if (!this.talk) return;
    void this.unlock();
    this.talk.client.sendText(text);
    this.dispatch("transcript", { role: "user", text, interrupted: false });
  }

  /**
   * Switch the microphone on, from a click or a key press; with `handsFree: false` no pause ends the turn, only
   * `stopListening`. Rejects with a MicrophoneError.
   */
  listen({ handsFree = true }: { handsFree?: boolean } = {}): Promise<void> {
    return this.talkButton.begin({ handsFree });
  }

  /** Switch the microphone off: what was said is complete. */
  stopListening(): void {
    this.talkButton.end();
  }

  interrupt(): void {
    this.talk?.client.interrupt();
  }

  /** Allow sound, from a click or a key press. */
  async unlock(): Promise<void> {
    await this.talk?.player.unlock();
  }

  /** The site's token, or what gets one: it is called again when the server no longer takes the one before. */
  get token(): TokenSource | null {
    return this.getToken ?? this.getAttribute("token");
  }

  set token(token: TokenSource | null) {
    this.getToken = typeof token === "function" ? token : null;
    if (typeof token === "string") this.setAttribute("token", token);
    else this.removeAttribute("token");
    if (this.talk) this.reopen();
  }

  // -- life ------------------------------------------------------------------------------------------------
  connectedCallback(): void {
    // Set before the browser knew the element.
    const token = Object.getOwnPropertyDescriptor(this, "token");
    if (token) delete (this as { token?: unknown }).token;
    if (token) this.token = token.value as TokenSource;
    this.reopen();
  }

  disconnectedCallback(): void {
    // An element that is only moved is back at once.
    queueMicrotask(() => !this.isConnected && this.close());
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.talk || before === after) return;
    if (name === "muted") this.talk.player.volume = after === null ? 1 : 0;
    else if (name === "avatar" && after) this.show(after);
    else this.reopen();
  }

  /** Attributes that are set one after the other are one change. */
  private reopen(): void {
    if (this.opening) return;
    this.opening = true;
    queueMicrotask(() => {
      this.opening = false;
      if (!this.isConnected || (this.talk && this.unchanged())) return;
      this.close();
      this.open();
    });
  }

  private unchanged(): boolean {
    return this.opened === this.wanted();
  }

  private wanted(): string {
    return JSON.stringify([...["server", "token", "video"].map((name) => this.getAttribute(name)), typeof this.getToken]);
  }

  private get home(): string {
    return this.getAttribute("server") ?? VisavisAvatar.server;
  }

  private open(): void {
    this.opened = this.wanted();
    const video = this.getAttribute("video");
    const view = chooseView(video === null ? null : video === "never" ? "webgl" : "video");
    const avatar = this.getAttribute("avatar") ?? undefined;
    const { getToken } = this;
    const token = getToken ? () => (this.getToken ?? getToken)() : (this.getAttribute("token") ?? undefined);
    const talk = (this.talk = openTalk(view, { server: this.home, token, avatar }));
    if (this.hasAttribute("muted")) talk.player.volume = 0;
    this.tell(talk);
    if (talk.picture) this.film(talk.picture);
    talk.client.connect();
    if (avatar) this.show(avatar);
    else void this.ask().then((name) => this.talk === talk && this.show(name));
    this.tick();
  }

  private close(): void {
    cancelAnimationFrame(this.request);
    this.stopListening();
    this.head?.dispose();
    this.head = null;
    const { canvas, stage } = this.parts;
    stage.querySelector(".live")?.remove();
    // A canvas has one context for life.
    const fresh = canvas.cloneNode() as HTMLCanvasElement;
    fresh.className = "";
    canvas.replaceWith(fresh);
    this.parts.canvas = fresh;
    this.talk?.close();
    this.talk = null;
    this.parts.recorded.hidden = true;
  }

  /** Whose face the server shows by itself. */
  private async ask(): Promise<string> {
    const headers = { Accept: "application/json" };
    const response = await fetch(address(this.home, "."), { headers }).catch(() => null);
    const facts = (await response?.json().catch(() => null)) as { avatar?: string } | null;
    return facts?.avatar ?? "mia";
  }

  // -- what is seen and heard --------------------------------------------------------------------------------
  private show(avatar: string): void {
    const { talk } = this;
    if (!talk) return;
    const folder = `avatars/${encodeURIComponent(avatar)}`;
    this.parts.poster.src = address(this.home, `${folder}/poster.webp`).href;
    talk.cast(avatar).catch(({ message }: Error) => this.complain("PICTURE", message));
    if (talk.view === "video") return;
    void this.draw(talk, address(this.home, `${folder}/${encodeURIComponent(avatar)}.glb`).href);
  }

  private async draw(talk: Talk, glb: string): Promise<void> {
    const { Head } = await import("../avatar/head");
    if (this.talk !== talk) return;
    try {
      this.head ??= new Head(this.parts.canvas, { seed: Math.floor(Math.random() * 2 ** 31) });
      this.head.start();
      await this.head.load(glb);
      this.parts.canvas.classList.add("visible");
    } catch (error) {
      if ((error as Error).name !== "AbortError") this.complain("PICTURE", (error as Error).message);
    }
  }

  private film(picture: HTMLVideoElement | HTMLImageElement): void {
    picture.setAttribute("part", "video");
    picture.setAttribute("aria-hidden", "true");
    this.parts.canvas.after(picture);
    for (const type of ["loadeddata", "load"]) picture.addEventListener(type, () => picture.classList.add("visible"));
  }

  private readonly tick = (): void => {
    this.request = requestAnimationFrame(this.tick);
    const { talk, head } = this;
    if (!talk) return;
    head?.speak(talk.player.frameNow()?.weights ?? null);
    const position = talk.player.position();
    this.parts.stop.disabled = !talk.player.current;
    head?.setState(position ? "speaking" : this.microphone.active ? "listening" : "idle");
    if (!position) return;
    clearTimeout(this.hide);
    this.caption(captionLines(position.turn.words, position.ms, LINE).map(({ words }) => words.join(" ")).join(" "));
  };

  private caption(text: string): void {
    const { captions } = this.parts;
    if (captions.textContent === text) return;
    const line = document.createElement("span");
    line.textContent = text;
    captions.replaceChildren(...(text ? [line] : []));
  }

  // -- what is told -----------------------------------------------------------------------------------------
  private tell({ client, player }: Talk): void {
    client.on("connection", ({ status, reason }) => this.dispatch("connection", { status, ...(reason ? { reason } : {}) }));
    client.on("recorded", (recorded) => (this.parts.recorded.hidden = !recorded));
    client.on("avatar_state", ({ state }) => this.dispatch("state", { state }));
    client.on("transcript_done", ({ role, text, interrupted = false }) => {
      if (role === "assistant") this.parts.spoken.textContent = text;
      this.dispatch("transcript", { role, text, interrupted });
    });
    client.on("trigger_action", (action: TriggerAction) =>
      this.dispatch("action", { name: action.function_name, arguments: action.arguments }));
    client.on("error", ({ code, message }) => code !== "RESUME_EXPIRED" && this.complain(code, message));
    player.on("start", ({ id }) => this.dispatch("turnstart", { turnId: id }));
    player.on("end", ({ turn, interrupted }) => {
      this.hide = setTimeout(() => this.caption(""), LINGER_MS);
      this.dispatch("turnend", { turnId: turn.id, interrupted });
    });
    player.on("locked", (locked) => (this.parts.unlock.hidden = !locked));
  }

  private complain(code: string, message: string): void {
    this.dispatch("problem", { code, message });
  }

  private dispatch<K extends keyof AvatarEvents>(type: K, detail: AvatarEvents[K]): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Make the element known to the page; once is enough. */
export function define(name = "visavis-avatar"): void {
  if (!customElements.get(name)) customElements.define(name, VisavisAvatar);
}

declare global {
  interface HTMLElementTagNameMap {
    "visavis-avatar": VisavisAvatar;
  }
}
