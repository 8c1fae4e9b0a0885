/** Pictures that arrive beside the sound, each shown while its sound is heard. */

import type { Playback } from "../player";
import type { Picture } from "./socket";

/** Pictures that are kept at most: ten seconds. */
const KEPT = 250;

export class Pictures {
  private readonly waiting: Picture[] = [];
  private request = 0;

  constructor(
    readonly image: HTMLImageElement,
    private readonly player: Pick<Playback, "position">,
  ) {
    this.tick();
  }

  add(picture: Picture): void {
    this.waiting.push(picture);
    if (this.waiting.length > KEPT) this.waiting.shift();
  }

  close(): void {
    cancelAnimationFrame(this.request);
  }

  private readonly tick = (): void => {
    this.request = requestAnimationFrame(this.tick);
    const position = this.player.position();
    const due = position && takeDue(this.waiting, position.turn.number, position.frame);
    if (due) this.image.src = `data:image/jpeg;base64,${due.jpeg}`;
  };
}

/** Take the newest picture up to `frame` of `turn` out of `waiting`, and all that came before it. */
export function takeDue(waiting: Picture[], turn: number, frame: number): Picture | null {
  const at = waiting.findLastIndex((picture) => picture.turn === turn && picture.frame <= frame);
  return waiting.splice(0, at + 1).at(-1) ?? null;
}
