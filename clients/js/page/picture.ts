/** The avatar in its frame: a still at once, the living head over it as soon as it is there. */

import type { AvatarState, Head } from "../src/avatar";
import { byId } from "./dom";
import type { AvatarEntry } from "./server";

const DARK_BACKGROUND = { centre: "#3d4854", edge: "#151a20" };

export class Picture {
  view: Head | null = null;
  private readonly still = byId<HTMLImageElement>("still");
  private readonly canvas = byId<HTMLCanvasElement>("canvas");
  private loading: AbortController | null = null;
  private dark = false;

  /** Whether this browser can draw the avatar at all. */
  static supported(): boolean {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  }

  /** Show the still of an avatar, and the head itself if `alive`. Rejects when the head cannot be drawn. */
  async show(avatar: AvatarEntry, alive: boolean): Promise<void> {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    if (!this.still.src.endsWith(avatar.poster)) this.still.src = avatar.poster;
    this.still.onerror = () => {
      this.still.onerror = null;
      this.still.src = avatar.thumb;
    };
    if (!alive) return this.hideCanvas();
    const view = await this.open();
    view.start();
    await view.load(avatar.glb, loading.signal);
    this.canvas.classList.add("visible");
  }

  setState(state: AvatarState): void {
    this.view?.setState(state);
  }

  speak(weights: Float32Array | null): void {
    this.view?.speak(weights);
  }

  setDark(dark: boolean): void {
    this.dark = dark;
    this.view?.setBackground(dark ? DARK_BACKGROUND : null);
    this.still.classList.toggle("dim", dark);
  }

  /** The renderer is large: it comes after the page can be used already. */
  private async open(): Promise<Head> {
    const { Head } = await import("../src/avatar");
    if (!this.view) {
      this.view = new Head(this.canvas, { seed: Math.floor(Math.random() * 2 ** 31) });
      this.setDark(this.dark);
    }
    return this.view;
  }

  private hideCanvas(): void {
    this.canvas.classList.remove("visible");
    this.view?.stop();
  }
}
