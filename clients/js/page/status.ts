/** The state of the avatar as shape and word, and the status line for the curious. */

import type { Connection, Playback, VisavisClient } from "../src";
import { byId, el } from "./dom";
import { icon, type IconName } from "./icons";

export type StateWord = "Idle" | "Listening" | "Thinking" | "Speaking" | "Reconnecting";

const CONNECTION: Record<Connection["status"], string> = {
  connecting: "connecting", open: "connected", reconnecting: "reconnecting", closed: "not connected",
};

export class Status {
  private readonly badge = byId("state");
  private readonly line = byId("status");
  private word: StateWord | null = null;
  private text = "";

  show(word: StateWord): void {
    if (word === this.word) return;
    this.word = word;
    this.badge.dataset.state = word.toLowerCase();
    this.badge.replaceChildren(icon(word.toLowerCase() as IconName), el("span", {}, word));
  }

  refresh(client: VisavisClient, player: Playback): void {
    const parts = [
      CONNECTION[client.connection.status],
      client.sessionId && innerWidth > 860 && `session ${client.sessionId.slice(0, 8)}`,
      client.roundTripMs > 0 && `round trip ${client.roundTripMs} ms`,
      `audio buffer ${Math.round(player.stats.buffered * 1000)} ms`,
      player.stats.underruns > 0 && `${player.stats.underruns} underruns`,
    ].filter((part) => part !== false && part !== "");
    const text = parts.join("\u2002·\u2002");
    if (text !== this.text) this.line.textContent = this.text = text;
  }
}
