/** The settings sheet. */

import { listMicrophones, type View } from "../src";
import { byId, el } from "./dom";
import { icon } from "./icons";
import type { PreferenceStore, Preferences } from "./preferences";
import { spoken, type AvatarEntry, type Facts } from "./server";

type Choice<K extends keyof Preferences> = readonly (readonly [Preferences[K], string])[];

const NAMES: Partial<Record<keyof Preferences, string>> = {
  picture: "Picture", microphoneMode: "Microphone mode", captions: "Size of captions", theme: "Theme",
};

export class Settings {
  private readonly dialog = byId<HTMLDialogElement>("settings");
  private facts: Facts | null = null;
  private avatars: AvatarEntry[] = [];
  /** The avatar on the stage. */
  avatar = "";

  /** Can this browser draw the avatar? */
  drawable = true;

  constructor(private readonly preferences: PreferenceStore, private readonly view: View) {
    const button = byId<HTMLButtonElement>("open-settings");
    button.append(icon("settings"));
    button.addEventListener("click", () => void this.open());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    preferences.onChange((key) => {
      if (key === "avatar") this.avatar = preferences.values.avatar;
    });
  }

  know(facts: Facts, avatars: AvatarEntry[]): void {
    this.facts = facts;
    this.avatars = avatars;
    const tag = byId<HTMLButtonElement>("brain-tag");
    tag.hidden = !facts.agent.demo_brain;
    tag.replaceChildren(el("span", {}, "demo brain"));
    tag.title = "A small brain that needs no key; connect a real one with VISAVIS_LLM_URL";
    tag.onclick = () => void this.open();
  }

  private async open(): Promise<void> {
    const microphones = await listMicrophones();
    const close = el("button", { type: "button", class: "round quiet", "aria-label": "Close", click: () => this.dialog.close() }, icon("close"));
    this.dialog.replaceChildren(
      el("header", {}, el("h2", { id: "settings-title" }, "Settings"), close),
      this.section("Brain", ...this.brain()),
      this.section("Avatar", this.thumbnails()),
      this.section("Picture", ...this.picture()),
      this.section("Voice and language", this.hint(this.voice())),
      this.section("Microphone", this.devices(microphones),
        this.radios("microphoneMode", [["hands-free", "Hands-free"], ["push-to-talk", "Push to talk"]])),
      this.section("Captions", this.radios("captions", [["off", "Off"], ["small", "Small"], ["medium", "Medium"], ["large", "Large"]])),
      this.section("Theme", this.radios("theme", [["system", "System"], ["light", "Light"], ["dark", "Dark"]])),
      this.section("More", el("p", { class: "more" }, el("a", { href: "face" }, "Animate a recording"))),
      el("p", { class: "hint version" }, `Visavis ${this.facts?.version ?? ""}`),
    );
    this.dialog.showModal();
  }

  private picture(): Node[] {
    const other = this.view === "video" ? "webgl" : "video";
    const link = (text: string) => el("p", { class: "more" }, el("a", { href: `?view=${other}` }, text));
    if (this.view === "video") {
      return [this.hint("The server draws the avatar and sends it as video."), link("Draw it in this browser")];
    }
    const why = this.drawable ? [] : [this.hint("This browser cannot draw 3D (WebGL 2), so the still is shown.")];
    const choice = this.radios("picture", [["3d", "3D"], ["still", "Still"]], !this.drawable);
    return [choice, ...why, link("Have the server draw it, as video")];
  }

  private brain(): Node[] {
    const agent = this.facts?.agent;
    if (!agent) return [this.hint("The server did not say which brain it uses.")];
    const name = agent.demo_brain ? "demo brain" : (agent.model ?? agent.name ?? "your agent");
    const line = el("p", { class: "brain" }, el("strong", {}, name));
    if (!agent.demo_brain) return [line];
    return [line, el("p", { class: "hint" },
      "It is small and knows little. Connect a real one: start the server with ",
      el("code", {}, "VISAVIS_LLM_URL=http://…/v1"), " (any OpenAI-compatible server).")];
  }

  private voice(): string {
    const voice = this.facts?.agent.voice ?? "the built-in voice";
    return `${voice.charAt(0).toUpperCase()}${voice.slice(1)}. ${spoken(this.facts?.agent.language)}`;
  }

  private thumbnails(): HTMLElement {
    const box = el("div", { class: "thumbnails", role: "radiogroup", "aria-label": "Avatar" });
    for (const avatar of this.avatars) {
      const pick = () => this.preferences.set("avatar", avatar.name);
      const radio = el("input", { type: "radio", name: "avatar", checked: avatar.name === this.avatar, change: pick });
      const image = el("img", { src: avatar.thumb, alt: "", width: 72, height: 72, loading: "lazy" });
      box.append(el("label", {}, radio, image, el("span", {}, avatar.title)));
    }
    return box;
  }

  private devices(microphones: MediaDeviceInfo[]): HTMLElement {
    const chosen = this.preferences.values.microphone;
    const options = microphones.map((device, index) =>
      el("option", { value: device.deviceId, selected: device.deviceId === chosen }, device.label || `Microphone ${index + 1}`));
    const change = (event: Event) => this.preferences.set("microphone", (event.target as HTMLSelectElement).value);
    return el("select", { "aria-label": "Microphone device", change }, el("option", { value: "" }, "System default"), ...options);
  }

  private radios<K extends keyof Preferences>(key: K, choices: Choice<K>, disabled = false): HTMLElement {
    const box = el("div", { class: "choices", role: "radiogroup", "aria-label": NAMES[key] ?? key });
    for (const [value, label] of choices) {
      const checked = this.preferences.values[key] === value;
      const change = () => this.preferences.set(key, value);
      box.append(el("label", {}, el("input", { type: "radio", name: key, checked, disabled, change }), el("span", {}, label)));
    }
    return box;
  }

  private section(title: string, ...children: Node[]): HTMLElement {
    return el("section", {}, el("h3", {}, title), ...children);
  }

  private hint(text: string): HTMLElement {
    return el("p", { class: "hint" }, text);
  }
}
