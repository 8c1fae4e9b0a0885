/** The page: a person to talk to. Everything it can do, it does through the library's public interface. */

import "./style.css";
import { chooseView, Microphone, openTalk, type AvatarState, type Connection, type Turn } from "../src";
import { drawing } from "../src/avatar/drawing";
import { Captions } from "./captions";
import { confetti } from "./confetti";
import { Controls } from "./controls";
import { byId, el } from "./dom";
import { icon } from "./icons";
import { Notices } from "./notices";
import { Picture } from "./picture";
import { PreferenceStore } from "./preferences";
import { Recorder } from "./record";
import { avatarEntry, fetchFacts, fetchProblems, home, type AvatarEntry } from "./server";
import { Settings } from "./settings";
import { Status, type StateWord } from "./status";
import { Talk } from "./talk";

class Page {
  private readonly line = openTalk(chooseView(new URLSearchParams(location.search).get("view")), home());
  readonly client = this.line.client;
  readonly player = this.line.player;
  readonly recorder = new Recorder();
  private readonly microphone = new Microphone();
  private readonly preferences = new PreferenceStore();
  readonly picture = new Picture();
  private readonly notices = new Notices();
  private readonly captions = new Captions();
  private readonly status = new Status();
  private readonly settings = new Settings(this.preferences, this.line.view);
  private readonly talk: Talk;
  private readonly controls: Controls;
  private avatars: AvatarEntry[] = [];
  private state: AvatarState = "Idle";
  private held = false;
  private configured = false;
  private loaded = false;
  private countdown: ReturnType<typeof setInterval> | undefined;

  constructor() {
    this.controls = new Controls({
      client: this.client, player: this.player, microphone: this.microphone, preferences: this.preferences,
      notices: this.notices,
      onText: (text) => this.talk.user(text),
      onMicrophone: () => this.showState(),
    });
    this.talk = new Talk((text) => this.controls.say(text));
    this.recorder.follow(this.client);
    this.listenToServer();
    this.listenToPlayer();
    this.listenToPerson();
    this.applyTheme();
    this.applyCaptions();
    this.showState();
  }

  async start(): Promise<void> {
    const filmed = this.line.view === "video";
    if (this.preferences.values.avatar) this.client.cast(this.preferences.values.avatar);
    if (!filmed) this.client.connect();
    this.tick();
    const facts = await fetchFacts().catch(() => null);
    const names = facts?.avatars.length ? facts.avatars : [home().avatar || "mia"];
    this.avatars = names.map((name) => avatarEntry(name));
    if (facts) this.settings.know(facts, this.avatars);
    await painted();
    void this.showAvatar(facts?.avatar ?? names[0]!);
    if (filmed) this.client.connect(); // whose face it is had to be known
    void this.checkHealth();
  }

  get view(): string {
    return this.line.view;
  }

  get ready(): boolean {
    return this.configured && this.loaded;
  }

  // -- what the server says --------------------------------------------------------------------------
  private listenToServer(): void {
    const { client, talk } = this;
    client.on("session", ({ resumed }) => {
      this.configured = true;
      if (!resumed) {
        this.held = false;
        this.state = "Idle";
        talk.restart();
      }
      this.showState();
    });
    client.on("recorded", (recorded) => (byId("recorded").hidden = !recorded));
    client.on("connection", (connection) => this.showConnection(connection));
    client.on("avatar_state", ({ state }) => {
      this.state = state;
      this.showState();
    });
    client.on("transcript_partial", ({ text }) => talk.showPartial(text));
    client.on("transcript_done", (message) => {
      if (message.role === "user") talk.user(message.text);
      else if (message.interrupted) talk.cut(message.turnId, message.text);
    });
    client.on("turn_metrics", (metrics) => talk.metrics(metrics.turnId, metrics, client.roundTripMs));
    client.on("sources", ({ turnId, sources }) => talk.cite(turnId, sources));
    client.onAction("confetti", confetti);
    client.on("trigger_action", ({ function_name: name }) => {
      if (!client.handles(name)) talk.note(name.replaceAll("_", " "));
    });
    client.on("error", ({ code, message }) => {
      if (code !== "RESUME_EXPIRED") this.notices.show(`error ${code}`, { text: message, seconds: 12 });
    });
  }

  private showConnection(connection: Connection): void {
    clearInterval(this.countdown);
    this.showState();
    if (connection.status === "open") return this.notices.clear("connection");
    if (connection.status === "closed") {
      const text = connection.reason?.replace(/^[A-Z_]+: /, "") || "The server ended the conversation.";
      const again = () => this.client.connect();
      return this.notices.show("connection", { text: `Not connected: ${text}`, action: { label: "Connect again", run: again } });
    }
    if (connection.status !== "reconnecting" || !connection.retryInMs) return;
    const until = performance.now() + connection.retryInMs;
    const tell = () => {
      const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      const what = connection.full ? "All places are taken." : "Connection lost.";
      this.notices.show("connection", { text: `${what} Trying again${left > 1 ? ` in ${left} s` : ""} …` });
    };
    tell();
    this.countdown = setInterval(tell, 500);
  }

  private async checkHealth(): Promise<void> {
    const problems = await fetchProblems().catch(() => []);
    for (const [index, text] of problems.entries()) this.notices.show(`health ${index}`, { text });
  }

  // -- what is heard -----------------------------------------------------------------------------------
  private listenToPlayer(): void {
    const { player } = this;
    player.on("start", () => this.showState());
    player.on("end", ({ turn, interrupted, frame }) => this.turnEnded(turn, interrupted, frame));
    player.on("barge", ({ phase }) => {
      this.held = phase === "hold" || (this.held && phase !== "resume");
      if (phase === "resume") this.talk.clearPartial();
      this.showState();
    });
    const hear = byId<HTMLButtonElement>("hear");
    hear.append(icon("sound"), "Tap to hear");
    hear.addEventListener("click", () => void player.unlock());
    player.on("locked", (locked) => (hear.hidden = !locked));
    player.on("underrun", (turn) => this.recorder.note("underrun", { turn: turn.number }));
  }

  private turnEnded(turn: Turn, interrupted: boolean, frame: number): void {
    this.held = false;
    // The server will say so too, a moment later.
    if (this.state === "Responding" && !this.player.current) this.state = "Listening";
    const ms = (frame * 1000) / turn.fps;
    this.captions.end(turn, interrupted ? ms : turn.seconds * 1000, interrupted);
    this.talk.end(turn, ms, interrupted);
    this.recorder.note("heard", { turn: turn.number, frame, interrupted });
    this.showState();
  }

  // -- what the person does ------------------------------------------------------------------------------
  private listenToPerson(): void {
    const refuse = () => this.client.refuseRecording();
    byId("recorded").append("Recorded", el("button", { type: "button", class: "link", click: refuse }, "Don’t record"));
    const talk = byId("talk");
    const opener = byId<HTMLButtonElement>("open-talk");
    const closer = byId<HTMLButtonElement>("close-talk");
    opener.append(icon("talk"));
    closer.append(icon("close"));
    const toggle = (open: boolean) => {
      talk.classList.toggle("open", open);
      opener.setAttribute("aria-expanded", String(open));
      (open ? closer : opener).focus();
    };
    opener.addEventListener("click", () => toggle(!talk.classList.contains("open")));
    closer.addEventListener("click", () => toggle(false));
    talk.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && talk.classList.contains("open")) toggle(false);
    });
    this.preferences.onChange((key) => {
      if (key === "theme") this.applyTheme();
      if (key === "captions") this.applyCaptions();
      if (key === "avatar" || key === "picture") void this.showAvatar(this.settings.avatar);
      if (key === "microphone") void this.controls.restart();
    });
    // The first touch or key is all that browsers want before a page may make a sound.
    for (const type of ["pointerdown", "keydown"]) {
      window.addEventListener(type, () => void this.player.unlock(), { once: true });
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.applyTheme());
    window.addEventListener("online", () => this.client.connect());
  }

  private applyTheme(): void {
    const { theme } = this.preferences.values;
    document.documentElement.dataset.theme = theme;
    const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
    this.picture.setDark(dark);
  }

  private applyCaptions(): void {
    document.documentElement.dataset.captions = this.preferences.values.captions;
  }

  private async showAvatar(fallback: string): Promise<void> {
    const wanted = this.preferences.values.avatar;
    const avatar = this.avatars.find(({ name }) => name === wanted) ?? avatarEntry(fallback);
    this.settings.avatar = avatar.name;
    this.talk.name = byId("name").textContent = avatar.title;
    document.title = `${avatar.title} · Visavis`;
    void this.line.cast(avatar.name).catch(({ message }: Error) => this.notices.show("picture", { text: message }));
    if (this.line.picture) {
      await this.picture.film(avatar, this.line.picture);
      this.loaded = true;
      return;
    }
    const drawable = drawing() !== "none";
    this.settings.drawable = drawable;
    const alive = drawable && this.preferences.values.picture === "3d";
    try {
      const shown = this.picture.show(avatar, alive);
      this.applyTheme();
      await shown;
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      this.notices.show("picture", { text: `The avatar could not be drawn: ${String((error as Error).message ?? error)}` });
    }
    if (!drawable) {
      this.notices.show("picture", { text: "This browser cannot draw 3D (WebGL 2), so you see a still picture; everything else works.", seconds: 12 });
    }
    this.loaded = true;
  }

  // -- what is shown ---------------------------------------------------------------------------------------
  private showState(): void {
    const speaking = this.player.position() !== null;
    this.status.show(this.stateWord(speaking));
    this.picture.setState(
      speaking && !this.held ? "speaking" : this.state === "Thinking" ? "thinking"
      : this.held || this.controls.on ? "listening" : "idle");
    this.controls.setSpeaking(speaking || this.state === "Thinking" || this.state === "Responding");
  }

  private stateWord(speaking: boolean): StateWord {
    const { status } = this.client.connection;
    if (status === "reconnecting") return "Reconnecting";
    if (speaking) return this.held ? "Listening" : "Speaking";
    if (this.state === "Thinking" || this.state === "Responding") return "Thinking";
    return this.controls.on ? "Listening" : "Idle";
  }

  private readonly tick = (): void => {
    requestAnimationFrame(this.tick);
    const position = this.player.position();
    const shown = this.player.frameNow();
    this.picture.speak(shown?.weights ?? null);
    const weights = this.picture.view?.weights ?? shown?.weights;
    if (weights) this.recorder.curve(shown?.turn.number ?? -1, shown?.frame ?? -1, weights);
    this.captions.update(position);
    this.talk.update(position);
    this.status.refresh(this.client, this.player);
  };
}

/** Starting WebGL takes long: the page is on the screen before. A page in a hidden tab does not wait. */
function painted(): Promise<void> {
  if (document.hidden) return Promise.resolve();
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

const page = new Page();

/** For tests and for the curious. */
declare global {
  interface Window {
    visavis: unknown;
  }
}
window.visavis = {
  get ready() { return page.ready; },
  get avatar() { return page.picture.view; },
  get view() { return page.view; },
  client: page.client,
  player: page.player,
  log: page.recorder.log,
  curves: page.recorder.curves,
};

void page.start();
if (new URLSearchParams(location.search).has("debug")) {
  void import("./debug").then(({ DebugPanel }) => new DebugPanel(page.client, page.player, page.recorder, () => page.picture.view));
}
