import { expect, test } from "vitest";
import { shape } from "./arkit";
import { type AvatarState, Life } from "./life";

const BLINK = shape("eyeBlinkLeft");
const LOOK = ["eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeLookDownLeft"].map(shape);
const STATES: AvatarState[] = ["idle", "listening", "thinking", "speaking"];

/** Calls `each` for every frame of `seconds` of life. */
function live(life: Life, seconds: number, state: AvatarState, each: (now: number) => void, fps = 60): void {
  for (let i = 0; i < seconds * fps; i++) {
    life.update(i / fps, state);
    each(i / fps);
  }
}

/** The times at which a blink begins. */
function blinks(life: Life, seconds: number, fps = 60): number[] {
  const times: number[] = [];
  let closed = false;
  live(life, seconds, "idle", (now) => {
    const blinking = life.weights[BLINK]! > 0;
    if (blinking && !closed) times.push(now);
    closed = blinking;
  }, fps);
  return times;
}

test("the same seed gives the same life, another one another", () => {
  const [a, b, c] = [new Life(7), new Life(7), new Life(8)];
  let differs = false;
  live(a, 20, "idle", (now) => {
    b.update(now, "idle");
    c.update(now, "idle");
    expect(b.weights).toEqual(a.weights);
    expect(b.pose).toEqual(a.pose);
    differs ||= c.pose.yaw !== a.pose.yaw;
  });
  expect(differs).toBe(true);
});

test("blinks come every 2 to 6 s, some doubled, and do not depend on the frame rate", () => {
  const times = blinks(new Life(1), 300, 120);
  const pauses = times.slice(1).map((time, i) => time - times[i]!);
  expect(Math.max(...pauses)).toBeLessThan(6.1);
  const single = pauses.filter((pause) => pause > 0.5);
  expect(Math.min(...single)).toBeGreaterThan(1.9);
  expect(pauses.length - single.length).toBeLessThan(pauses.length / 4);
  const coarse = blinks(new Life(1), 300, 30);
  expect(coarse).toHaveLength(times.length);
  coarse.forEach((time, i) => expect(Math.abs(time - times[i]!)).toBeLessThan(0.05));
});

test("a blink shuts the eye and is over within 150 ms", () => {
  const life = new Life(3);
  let longest = 0;
  let run = 0;
  let most = 0;
  live(life, 60, "idle", () => {
    const value = life.weights[BLINK]!;
    run = value > 0 ? run + 1 : 0;
    longest = Math.max(longest, run);
    most = Math.max(most, value);
  }, 500);
  expect(most).toBe(1);
  expect(longest / 500).toBeLessThanOrEqual(0.15);
});

test.each(STATES)("%s: weights stay in 0..1 and the head within 3.2 degrees", (state) => {
  const life = new Life(5);
  for (let i = 0; i < 3000; i++) {
    life.update(i / 60, state, i % 40 < 20 ? 1 : 0);
    expect(life.weights.every((weight) => weight >= 0 && weight <= 1)).toBe(true);
    for (const angle of [life.pose.pitch, life.pose.yaw, life.pose.roll]) {
      expect(Math.abs(angle)).toBeLessThan((3.2001 * Math.PI) / 180);
    }
    expect(life.pose.breath >= 0 && life.pose.breath <= 1).toBe(true);
  }
});

test("idle eyes are mostly on the viewer and always come back; thinking eyes look aside", () => {
  const away = (state: AvatarState) => {
    const life = new Life(2);
    let frames = 0;
    let run = 0;
    let longest = 0;
    live(life, 120, state, () => {
      const aside = Math.max(...LOOK.map((i) => life.weights[i]!)) > 0.15;
      frames += aside ? 1 : 0;
      run = aside ? run + 1 : 0;
      longest = Math.max(longest, run);
    });
    return { share: frames / (120 * 60), longest: longest / 60 };
  };
  const idle = away("idle");
  expect(idle.share).toBeGreaterThan(0.02);
  expect(idle.share).toBeLessThan(0.35);
  expect(idle.longest).toBeLessThan(2);
  expect(away("thinking").share).toBeGreaterThan(0.8);
});

test("from thinking to listening the eyes are back on the viewer within 0.2 s", () => {
  const life = new Life(4);
  live(life, 5, "thinking", () => {});
  for (let now = 5; now < 5.2; now += 1 / 60) life.update(now, "listening");
  expect(Math.max(...LOOK.map((i) => life.weights[i]!))).toBeLessThan(0.15);
});

test("listening tilts the head and smiles", () => {
  const roll = (state: AvatarState) => {
    const life = new Life(6);
    let sum = 0;
    live(life, 60, state, () => (sum += life.pose.roll));
    return { roll: sum / 3600, smile: life.weights[shape("mouthSmileLeft")]! };
  };
  expect(roll("listening").roll).toBeGreaterThan(roll("idle").roll + 0.015);
  expect(roll("listening").smile).toBeGreaterThan(roll("idle").smile);
});

test("loud syllables nod the head", () => {
  const [quiet, loud] = [new Life(9), new Life(9)];
  for (let i = 0; i < 30; i++) {
    quiet.update(i / 60, "speaking", 0);
    loud.update(i / 60, "speaking", 0.7);
  }
  expect(loud.pose.pitch).toBeGreaterThan(quiet.pose.pitch + 0.01);
});

test("with reduced motion there are blinks and nothing else moves", () => {
  const life = new Life(1, true);
  const others = new Set<string>();
  let blinked = false;
  live(life, 30, "idle", () => {
    blinked ||= life.weights[BLINK]! > 0;
    others.add(JSON.stringify([life.pose, [...life.weights].filter((_, i) => i !== BLINK && i !== BLINK + 1)]));
  });
  expect(blinked).toBe(true);
  expect(others.size).toBe(1);
});

test("a clock that stood still for an hour does not replay the blinks it missed", () => {
  const life = new Life(1);
  life.update(0, "idle");
  life.update(3600, "idle");
  expect(life.weights[BLINK]).toBe(0);
});
