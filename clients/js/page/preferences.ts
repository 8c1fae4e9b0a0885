/** What this person chose, kept in this browser. */

export interface Preferences {
  avatar: string;
  picture: "3d" | "still";
  theme: "system" | "light" | "dark";
  captions: "off" | "small" | "medium" | "large";
  microphoneMode: "hands-free" | "push-to-talk";
  microphone: string;
}

const KEY = "visavis.preferences";
const DEFAULTS: Preferences = {
  avatar: "", picture: "3d", theme: "system", captions: "medium", microphoneMode: "hands-free", microphone: "",
};

export class PreferenceStore {
  readonly values: Preferences;
  private readonly listeners: ((changed: keyof Preferences) => void)[] = [];

  constructor() {
    this.values = { ...DEFAULTS, ...this.read() };
  }

  set<K extends keyof Preferences>(key: K, value: Preferences[K]): void {
    if (this.values[key] === value) return;
    this.values[key] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
    for (const listener of this.listeners) listener(key);
  }

  onChange(listener: (changed: keyof Preferences) => void): void {
    this.listeners.push(listener);
  }

  private read(): Partial<Preferences> {
    try {
      return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>;
    } catch {
      return {};
    }
  }
}
