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

  /** Show the still of an avatar, and the head itself if `alive`. Rejects when the head cannot be drawn. */
  async show(avatar: AvatarEntry, alive: boolean): Promise<void> {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    this.showStill(avatar);
    if (!alive) return this.hideCanvas();
    const view = await this.open();
    view.start();
    await view.load(avatar.glb, loading.signal);
    this.canvas.classList.add("visible");
  }

  /** Show the still of an avatar, and over it the server's moving picture; resolves when there is one. */
  async film(avatar: AvatarEntry, picture: HTMLVideoElement | HTMLImageElement): Promise<void> {
    this.showStill(avatar);
    if (picture.isConnected) return;
    picture.setAttribute("aria-hidden", "true");
    this.canvas.after(picture);
    const moving = picture instanceof HTMLVideoElement;
    if (moving) await new Promise((seen) => picture.addEventListener("loadeddata", seen, { once: true }));
    picture.classList.add("visible");
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

  private showStill(avatar: AvatarEntry): void {
    if (!this.still.src.endsWith(avatar.poster)) this.still.src = avatar.poster;
    this.still.onerror = () => {
      this.still.onerror = null;
      this.still.src = avatar.thumb;
    };
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
