import { expect, test } from "vitest";
import { ARKIT, arkitIndex, shape } from "./arkit";

test("the 52 names are in alphabetical order", () => {
  expect(ARKIT).toHaveLength(52);
  expect([...ARKIT].sort()).toEqual(ARKIT);
});

test.each([
  ["eyeBlinkLeft", "eyeBlinkLeft"],
  ["eyeBlink_L", "eyeBlinkLeft"],
  ["EyeBlink_R", "eyeBlinkRight"],
  ["eye_blink_left", "eyeBlinkLeft"],
  ["eyeBlink.L", "eyeBlinkLeft"],
  ["eyeBlinkR", "eyeBlinkRight"],
  ["mouth_smile_r", "mouthSmileRight"],
  ["blendShape1.jawOpen", "jawOpen"],
  ["blendShape1.mouthSmile_L", "mouthSmileLeft"],
  ["Head:browInnerUp", "browInnerUp"],
  ["JAWOPEN", "jawOpen"],
  ["jaw_L", "jawLeft"],
  ["mouthLeft", "mouthLeft"],
  ["mouthFunnel", "mouthFunnel"],
  ["mouthRollUpper", "mouthRollUpper"],
  ["tongueOut", "tongueOut"],
])("%s means %s", (given, meant) => {
  expect(ARKIT[arkitIndex(given)]).toBe(meant);
});

test.each(["", "viseme_aa", "mouthOpen", "smile", "L", "eyeBlink"])("%o means none of them", (name) => {
  expect(arkitIndex(name)).toBe(-1);
});

test("every name means itself, also with short sides", () => {
  ARKIT.forEach((name, index) => {
    expect(arkitIndex(name)).toBe(index);
    expect(arkitIndex(name.replace(/Left$/, "_L").replace(/Right$/, "_R"))).toBe(index);
  });
});

test("an unknown shape is an error in our own code", () => {
  expect(() => shape("jawOpne")).toThrow(/jawOpne/);
});
