import { describe, expect, it } from "vitest";
import { BLENDSHAPES } from "../src/arkit";
import { parseFrame, parseMessage } from "../src/protocol";

/** A binary frame as PROTOCOLS describes it, written by hand. */
export function binaryFrame(turn: number, index: number, pcm: number[], weight = 0): ArrayBuffer {
  const data = new ArrayBuffer(72 + 2 * pcm.length);
  const view = new DataView(data);
  view.setUint8(0, 1);
  view.setUint8(1, 1);
  view.setUint32(4, turn, true);
  view.setUint32(8, index, true);
  view.setBigUint64(12, 1_700_000_000_123n, true);
  view.setUint8(20 + BLENDSHAPES.indexOf("jawOpen"), weight);
  for (const [i, value] of pcm.entries()) view.setInt16(72 + 2 * i, value, true);
  return data;
}

describe("parseFrame", () => {
  it("reads every field, little-endian", () => {
    const frame = parseFrame(binaryFrame(258, 65_537, [1, -2, 32767, -32768], 255));
    expect(frame).toMatchObject({ type: "frame", turn: 258, index: 65_537, timestamp: 1_700_000_000_123 });
    expect([...frame!.pcm]).toEqual([1, -2, 32767, -32768]);
    expect(frame!.weights).toHaveLength(52);
    expect(frame!.weights[BLENDSHAPES.indexOf("jawOpen")]).toBe(255);
    expect([...frame!.weights].filter((value) => value !== 0)).toHaveLength(1);
  });

  it("refuses what is too short, odd, or of another kind or version", () => {
    expect(parseFrame(new ArrayBuffer(71))).toBeNull();
    expect(parseFrame(new ArrayBuffer(73))).toBeNull();
    for (const byte of [0, 1]) {
      const data = binaryFrame(1, 0, [0]);
      new DataView(data).setUint8(byte, 2);
      expect(parseFrame(data)).toBeNull();
    }
  });
});

describe("parseMessage", () => {
  it("takes known types with their fields", () => {
    expect(parseMessage('{"type":"barge_in","turnId":"turn_1","phase":"duck"}')).toEqual({
      type: "barge_in", turnId: "turn_1", phase: "duck",
    });
  });

  it.each(["", "{", "null", "3", "[]", '{"type":1}', '{"type":"constructor"}', '{"data":"x"}'])(
    "is not confused by %s", (text) => expect(parseMessage(text)).toBeNull(),
  );
});

describe("blendshapes", () => {
  it("are the 52 of ARKit in plain alphabetical order", () => {
    expect(BLENDSHAPES).toHaveLength(52);
    expect([...BLENDSHAPES].sort()).toEqual(BLENDSHAPES);
  });
});
