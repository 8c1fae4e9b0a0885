/** Errors and hints as sentences in place, each with its next step. */

import { byId, el } from "./dom";
import { icon } from "./icons";

export interface Notice {
  text: string;
  action?: { label: string; run: () => void };
  /** Seconds after which it goes by itself. */
  seconds?: number;
}

export class Notices {
  private readonly box = byId("notices");
  private readonly shown = new Map<string, { element: HTMLElement; text: HTMLElement }>();

  /** Show a notice; one with the same id changes its words. */
  show(id: string, notice: Notice): void {
    const known = this.shown.get(id);
    if (known) {
      if (known.text.textContent !== notice.text) known.text.textContent = notice.text;
      return;
    }
    const text = el("span", {}, notice.text);
    const element = el("div", { class: "notice", role: "alert" }, icon("attention"), text);
    if (notice.action) {
      const { label, run } = notice.action;
      element.append(el("button", { type: "button", class: "link", click: () => (this.clear(id), run()) }, label));
    }
    const close = () => this.clear(id);
    element.append(el("button", { type: "button", class: "round tiny", "aria-label": "Dismiss", click: close }, icon("close")));
    this.shown.set(id, { element, text });
    this.box.append(element);
    if (notice.seconds) setTimeout(() => this.shown.get(id)?.element === element && this.clear(id), notice.seconds * 1000);
  }

  clear(id: string): void {
    this.shown.get(id)?.element.remove();
    this.shown.delete(id);
  }
}
