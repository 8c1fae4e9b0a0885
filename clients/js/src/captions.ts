/** Captions: the words heard so far, in at most two lines. */

import type { Word } from "./turn";

export interface CaptionLine {
  words: string[];
  /** Index of the word being heard, or -1 when it is in another line. */
  current: number;
}

/** Index of the word heard at `ms`, or of the last one before it; -1 before the first. */
export function currentWord(words: readonly Word[], ms: number): number {
  let found = -1;
  for (const [index, word] of words.entries()) {
    if (word.start > ms) break;
    found = index;
  }
  return found;
}

/**
 * The last two lines up to the current word. Lines are filled greedily from the first word on, so that
 * nothing that was shown ever moves to another line.
 */
export function captionLines(words: readonly Word[], ms: number, width: number): CaptionLine[] {
  const current = currentWord(words, ms);
  const lines: CaptionLine[] = [];
  let length = 0;
  for (let index = 0; index <= current; index++) {
    const text = words[index]!.text;
    let line = lines.at(-1);
    if (!line || length + 1 + text.length > width) {
      line = { words: [], current: -1 };
      lines.push(line);
      length = -1;
    }
    if (index === current && ms < words[index]!.end) line.current = line.words.length;
    line.words.push(text);
    length += 1 + text.length;
  }
  return lines.slice(-2);
}
