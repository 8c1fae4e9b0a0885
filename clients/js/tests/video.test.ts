import { describe, expect, it } from "vitest";
import { Decimator } from "../src/video/decimator";
import { cushion, FARTHEST, forgettable, keepUp, NEAREST } from "../src/video/edge";
import { takeDue } from "../src/video/pictures";

describe("staying near the newest moment", () => {
  it("begins near the end of what is there", () => {
    expect(keepUp(0, 100, 104, 1)).toEqual({ rate: 1, seek: 104 - NEAREST });
    expect(keepUp(0, 100, 100.1, 1)).toEqual({ rate: 1, seek: 100 });
  });

  it("hurries when it is late, until it is not", () => {
    expect(keepUp(10, 0, 10.25, 1)).toEqual({ rate: 1 });
    expect(keepUp(10, 0, 10.5, 1)).toEqual({ rate: 1.1 });
    expect(keepUp(10, 0, 10.2, 1.1)).toEqual({ rate: 1.1 });
    expect(keepUp(10, 0, 10.1, 1.1)).toEqual({ rate: 1 });
  });

  it("jumps when it is lost, and not when it merely waits", () => {
    expect(keepUp(10, 0, 13, 1)).toEqual({ rate: 1, seek: 13 - NEAREST });
    expect(keepUp(10, 0, 10, 1)).toEqual({ rate: 1 });
  });

  it("stays farther behind a stream that runs dry, and comes nearer again slowly", () => {
    const dry = cushion(NEAREST, true);
    expect(dry).toBeCloseTo(1.5 * NEAREST);
    expect(keepUp(10, 0, 10.4, 1, dry)).toEqual({ rate: 1 });
    expect(cushion(dry, false)).toBeLessThan(dry);
    expect(cushion(dry, false)).toBeGreaterThan(0.99 * dry);
    expect(cushion(NEAREST, false)).toBe(NEAREST);
    expect(cushion(FARTHEST, true)).toBe(FARTHEST);
  });

  it("forgets what was seen long ago", () => {
    expect(forgettable(20, 0)).toBeNull();
    expect(forgettable(20.1, 0)).toBeCloseTo(10.1);
  });
});

describe("pictures beside the sound", () => {
  const picture = (turn: number, frame: number) => ({ turn, frame, jpeg: `${turn}/${frame}` });

  it("shows the newest that is due, and drops what it is too late for", () => {
    const waiting = [picture(1, 0), picture(1, 1), picture(1, 2), picture(1, 3)];
    expect(takeDue(waiting, 1, 2)?.jpeg).toBe("1/2");
    expect(waiting).toEqual([picture(1, 3)]);
    expect(takeDue(waiting, 1, 2)).toBeNull();
  });

  it("drops the rest of a turn that was cut off", () => {
    const waiting = [picture(1, 8), picture(1, 9), picture(2, 0), picture(2, 1)];
    expect(takeDue(waiting, 2, 0)?.jpeg).toBe("2/0");
    expect(waiting).toEqual([picture(2, 1)]);
  });
});

describe("a lower rate", () => {
  it("keeps the length and the level, whatever the pieces", () => {
    for (const [from, to] of [[48000, 16000], [44100, 16000]] as const) {
      const decimator = new Decimator(from, to);
      let count = 0;
      for (let at = 0; at < from; at += 441) {
        const piece = decimator.feed(new Int16Array(441).fill(1000));
        count += piece.length;
        expect(piece.every((sample) => sample === 1000)).toBe(true);
      }
      expect(Math.abs(count - to * Math.ceil(from / 441) * 441 / from)).toBeLessThan(2);
    }
  });

  it("leaves the wanted rate alone", () => {
    const samples = Int16Array.of(1, 2, 3);
    expect(new Decimator(16000, 16000).feed(samples)).toBe(samples);
  });
});
