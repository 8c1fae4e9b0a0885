/** The page `/face`: a recording is dropped, a head speaks it, its curves are seen and saved. */

import "../page/style.css";
import "./face.css";
import { byId, el, save } from "../page/dom";
import { icon } from "../page/icons";
import { Notices } from "../page/notices";
import { Picture } from "../page/picture";
import { drawing } from "../src/avatar/drawing";
import { PreferenceStore } from "../page/preferences";
import { avatarEntry, fetchFacts } from "../page/server";
import { Curves } from "./curves";
import { Playback } from "./playback";
import { Recording } from "./recording";
import { animate, exported, fetchOffer, objection, type Offer, Refusal, type Source, type Wish } from "./server";
import { clock } from "./time";
import { Wave } from "./wave";

const RATES = [24, 25, 30, 60];
const SPEEDS = [0.25, 0.5, 1];
const FORMATS: [format: string, title: string, hint: string][] = [
  ["csv", "Live Link Face", "CSV, for Unreal's importer"],
  ["glb", "Animated head", "glTF binary, this head with the movement in it"],
  ["json", "Track", "JSON, all 52 curves"],
  ["jsonl", "Track, a line a frame", "JSON lines"],
  ["npz", "NumPy", "arrays of the curves"],
];
/** Milliseconds after which a wait is spoken of. */
const PATIENCE = 300;

class Page {
  readonly picture = new Picture();
  readonly playback = new Playback();
  recording: Recording | null = null;
  ready = false;
  private readonly preferences = new PreferenceStore();
  private readonly notices = new Notices();
  private readonly curves = new Curves();
  private readonly wave = new Wave();
  private readonly engine = byId<HTMLSelectElement>("engine");
  private readonly fps = byId<HTMLSelectElement>("fps");
  private readonly avatar = byId<HTMLSelectElement>("avatar");
  private offer: Offer | null = null;
  private source: Source | null = null;
  private working: AbortController | null = null;

  constructor() {
    const seek = (seconds: number) => this.playback.seek(seconds);
    this.curves.onSeek = this.wave.onSeek = seek;
    this.playback.onChange = () => this.showState();
    this.fps.append(...RATES.map((rate) => el("option", { value: rate, selected: rate === 30 }, String(rate))));
    this.listenToControls();
    this.listenToKeys();
    this.listenToDrops();
    this.applyTheme();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.applyTheme());
    this.tick();
  }

  async start(): Promise<void> {
    const facts = await fetchFacts().catch(() => null);
    const names = facts?.avatars.length ? facts.avatars : ["mia"];
    const wanted = this.preferences.values.avatar || facts?.avatar || "mia";
    this.avatar.append(...names.map((name) => el("option", { value: name, selected: name === wanted }, avatarEntry(name).title)));
    try {
      this.learn(await fetchOffer());
    } catch (error) {
      this.notices.show("file", { text: (error as Error).message });
    }
    await this.showAvatar();
    if (this.offer?.recording) await this.open({ name: this.offer.recording, file: null }, false);
    this.ready = true;
  }

  private learn(offer: Offer): void {
    this.offer = offer;
    this.engine.append(...offer.engines.map((name) => el("option", { value: name, selected: name === offer.engine }, name)));
    byId("limits").textContent =
      `Sound or video of somebody speaking: WAV, MP3, M4A, Ogg, WebM, MP4, … up to ${offer.maxSeconds / 60} minutes and ${Math.round(offer.maxBytes / 2 ** 20)} MB. It goes to this server and nowhere else.`;
  }

  private get wish(): Wish {
    return { engine: this.engine.value, fps: Number(this.fps.value) };
  }

  // -- a recording -----------------------------------------------------------------------------------
  private choose(file: File | undefined): void {
    if (!file || !this.offer) return;
    const wrong = objection(file, this.offer);
    if (wrong) return this.complain(wrong);
    void this.open({ name: file.name, file }, true);
  }

  /** Animate a recording and show it; what was shown before stays when that fails. */
  private async open(source: Source, play: boolean): Promise<boolean> {
    this.working?.abort();
    const working = (this.working = new AbortController());
    const waiting = setTimeout(() => (byId("working").hidden = false), PATIENCE);
    this.notices.clear("file");
    try {
      const recording = new Recording(await animate(source, this.wish, working.signal));
      if (working.signal.aborted) return false;
      this.source = source;
      this.show(recording, play);
      return true;
    } catch (error) {
      if (!working.signal.aborted) this.complain(sentence(error));
      return false;
    } finally {
      clearTimeout(waiting);
      if (this.working === working) byId("working").hidden = true;
    }
  }

  private show(recording: Recording, play: boolean): void {
    this.recording = recording;
    this.playback.load(recording);
    this.curves.show(recording);
    this.wave.show(recording);
    const file = byId("file");
    file.textContent = this.source!.name;
    file.hidden = false;
    document.title = `${this.source!.name} · Visavis`;
    for (const id of ["back", "play", "forward", "export"]) byId<HTMLButtonElement>(id).disabled = false;
    if (byId("drop").contains(document.activeElement)) byId("play").focus();
    byId("drop").hidden = true;
    const { answer, seconds, frames, fps } = recording;
    const facts = [
      `${seconds.toFixed(1)} s`, `${frames} frames, ${fps} a second`,
      `${answer.engine}: ${answer.elapsed.toFixed(2)} s of work, ${Math.round(seconds / Math.max(answer.elapsed, 1e-3))} times real time`,
      `lips closed ${answer.stats.closures.toFixed(1)} times a second`,
    ];
    byId("status").textContent = facts.join("  ·  ");
    if (play) void this.playback.play();
    this.showState();
  }

  /** Animate what is open again, after another engine or rate was chosen; back to the old ones if that fails. */
  private async again(): Promise<void> {
    if (!this.source) return;
    const asked = this.wish;
    const done = await this.open(this.source, this.playback.playing);
    const unchanged = asked.engine === this.wish.engine && asked.fps === this.wish.fps;
    if (done || !unchanged || !this.recording) return;
    this.engine.value = this.recording.answer.engine;
    this.fps.value = String(this.recording.fps);
  }

  private async export(format: string): Promise<void> {
    if (!this.source) return;
    const { source } = this;
    this.toggleFormats(false);
    const button = byId<HTMLButtonElement>("export");
    button.disabled = true;
    try {
      const file = await exported(source, this.wish, format, this.avatar.value);
      save(file, `${source.name.replace(/\.[^.]*$/, "")}.${format}`);
    } catch (error) {
      this.complain(sentence(error));
    } finally {
      button.disabled = false;
    }
  }

  private complain(text: string): void {
    this.notices.clear("file");
    this.notices.show("file", { text });
  }

  // -- what the person does --------------------------------------------------------------------------
  private listenToControls(): void {
    const { playback } = this;
    const button = (id: string, name: Parameters<typeof icon>[0], run: () => void, text = "") => {
      const element = byId<HTMLButtonElement>(id);
      element.append(icon(name), text);
      element.addEventListener("click", run);
    };
    const chooser = byId<HTMLInputElement>("chooser");
    const pick = () => chooser.click();
    chooser.addEventListener("change", () => {
      this.choose(chooser.files?.[0]);
      chooser.value = "";
    });
    button("choose", "file", pick, "Choose a file");
    button("open", "file", pick);
    button("back", "back", () => playback.step(-1));
    button("play", "play", () => playback.toggle());
    button("forward", "forward", () => playback.step(1));
    button("export", "download", () => this.toggleFormats(Boolean(byId("formats").hidden)), "Export");
    byId("cancel").addEventListener("click", () => {
      this.working?.abort();
      byId("working").hidden = true;
    });
    byId("formats").append(...FORMATS.map(([format, title, hint]) =>
      el("li", {}, el("button", { type: "button", click: () => void this.export(format) },
        el("strong", {}, title), el("span", {}, hint)))));
    byId("speeds").append(...SPEEDS.map((speed) => el("label", {},
      el("input", { type: "radio", name: "speed", value: speed, checked: speed === 1, change: () => (playback.speed = speed) }),
      el("span", {}, `${speed}×`))));
    for (const select of [this.engine, this.fps]) select.addEventListener("change", () => void this.again());
    this.avatar.addEventListener("change", () => {
      this.preferences.set("avatar", this.avatar.value);
      void this.showAvatar();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!(event.target as Element).closest(".export")) this.toggleFormats(false);
    });
  }

  private toggleFormats(open: boolean): void {
    byId("formats").hidden = !open;
    byId("export").setAttribute("aria-expanded", String(open));
  }

  private listenToKeys(): void {
    const keys: Record<string, () => void> = {
      " ": () => this.playback.toggle(),
      ArrowLeft: () => this.playback.step(-1),
      ArrowRight: () => this.playback.step(1),
      o: () => byId<HTMLInputElement>("chooser").click(),
      Escape: () => {
        if (!byId("formats").hidden) byId("export").focus();
        this.toggleFormats(false);
      },
    };
    window.addEventListener("keydown", (event) => {
      const run = keys[event.key];
      if (!run || event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as Element;
      // What a focused control does with the key itself.
      if (event.key === " " ? target.closest("button, select") : event.key.startsWith("Arrow") && target.closest("select, input")) return;
      if (event.key !== "Escape") event.preventDefault();
      run();
    });
  }

  private listenToDrops(): void {
    const dragging = (on: boolean) => document.documentElement.classList.toggle("dragging", on);
    window.addEventListener("dragover", (event) => {
      event.preventDefault();
      dragging(true);
    });
    window.addEventListener("dragleave", (event) => event.relatedTarget === null && dragging(false));
    window.addEventListener("drop", (event) => {
      event.preventDefault();
      dragging(false);
      this.choose(event.dataTransfer?.files[0]);
    });
  }

  // -- what is shown -----------------------------------------------------------------------------------
  private async showAvatar(): Promise<void> {
    const avatar = avatarEntry(this.avatar.value || "mia");
    byId("name").textContent = avatar.title;
    const drawable = drawing() !== "none";
    try {
      await this.picture.show(avatar, drawable);
      this.applyTheme();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      this.notices.show("picture", { text: `The head could not be drawn: ${(error as Error).message}` });
    }
    if (!drawable) {
      this.notices.show("picture", { text: "This browser cannot draw 3D (WebGL 2): the head stays still, everything else works.", seconds: 12 });
    }
  }

  private applyTheme(): void {
    const { theme } = this.preferences.values;
    document.documentElement.dataset.theme = theme;
    this.picture.setDark(theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches));
    this.curves.draw();
    this.wave.draw();
  }

  private showState(): void {
    const play = byId<HTMLButtonElement>("play");
    const { playing } = this.playback;
    play.replaceChildren(icon(playing ? "pause" : "play"));
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  private readonly tick = (): void => {
    requestAnimationFrame(this.tick);
    const { recording, playback } = this;
    if (!recording) return;
    const { time, frame } = playback;
    this.picture.speak(recording.weights(frame));
    const shown = this.curves.update(time, frame);
    this.wave.update(time, playback.playing, shown);
    const text = `${clock(time)} / ${clock(recording.seconds)}  ·  frame ${frame}`;
    const element = byId("clock");
    if (element.textContent !== text) element.textContent = text;
  };
}

function sentence(error: unknown): string {
  return error instanceof Refusal ? error.message : `That did not work: ${String((error as Error).message ?? error)}`;
}

const page = new Page();

/** For tests and for the curious. */
window.visavis = {
  get ready() { return page.ready; },
  get avatar() { return page.picture.view; },
  get recording() { return page.recording; },
  playback: page.playback,
};

declare global {
  interface Window {
    visavis: unknown;
  }
}

void page.start();
