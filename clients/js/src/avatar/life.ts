import { COUNT, shape } from "./arkit";

export type AvatarState = "idle" | "listening" | "thinking" | "speaking";

/** How the head is held: radians (pitch > 0 looks down, yaw > 0 turns to the person's left, roll > 0 tilts to it). */
export interface Pose {
  pitch: number;
  yaw: number;
  roll: number;
  /** 0 (breathed out) .. 1 (breathed in) */
  breath: number;
}

/** What a state does to a quiet face; all in 0..1 but roll and pitch (radians). */
interface Mood {
  smile: number;
  browUp: number;
  browDown: number;
  press: number;
  roll: number;
  pitch: number;
  sway: number;
}

const MOODS: Record<AvatarState, Mood> = {
  idle: { smile: 0.05, browUp: 0.02, browDown: 0, press: 0, roll: 0, pitch: 0, sway: 1 },
  listening: { smile: 0.14, browUp: 0.12, browDown: 0, press: 0, roll: 0.034, pitch: 0.01, sway: 0.7 },
  thinking: { smile: 0, browUp: 0.05, browDown: 0.1, press: 0.12, roll: -0.012, pitch: -0.012, sway: 0.25 },
  speaking: { smile: 0.05, browUp: 0.04, browDown: 0, press: 0, roll: 0, pitch: 0, sway: 1.4 },
};

const DEGREE = Math.PI / 180;
/** Eye rotation at weight 1, radians: lets the eyes stay on the viewer while the head turns. */
const EYE_RANGE = 30 * DEGREE;
/** No angle of the head exceeds this, or the neck would show its blend. */
const MAX_ANGLE = 3.2 * DEGREE;

/**
 * A face that lives while nobody drives it: breathing, blinks, gaze, posture.
 *
 * Pure and seeded: the same seed and the same calls give the same face. Time is an argument, in seconds of any
 * monotonic clock; blinks and gaze are scheduled in that time, so the frame rate does not change them.
 */
export class Life {
  /** 52 weights in ARKit order, 0..1, as of the last update. */
  readonly weights = new Float32Array(COUNT);
  readonly pose: Pose = { pitch: 0, yaw: 0, roll: 0, breath: 0 };
  reducedMotion: boolean;

  private readonly blinks: Blinks;
  private readonly gaze: Gaze;
  private readonly sway: readonly Wave[];
  private readonly mood: Mood = { ...MOODS.idle };
  private nod = 0;
  private time: number | null = null;

  constructor(seed: number, reducedMotion = false) {
    const random = mulberry32(seed);
    this.reducedMotion = reducedMotion;
    // A generator each: otherwise the frame rate would decide which of the two draws first.
    this.blinks = new Blinks(mulberry32(random() * 2 ** 32));
    this.gaze = new Gaze(mulberry32(random() * 2 ** 32));
    this.sway = [0.071, 0.113, 0.187, 0.059, 0.139, 0.083].map((hertz) => ({ hertz, phase: random() }));
  }

  /** Moves on to `now` (seconds). `energy`: how strongly the avatar speaks at this instant, 0..1. */
  update(now: number, state: AvatarState, energy = 0): void {
    const seconds = this.time === null ? 0 : Math.max(0, now - this.time);
    const first = this.time === null;
    this.time = now;
    const target = MOODS[state];
    const approach = first ? 1 : 1 - Math.exp(-seconds / 0.22);
    for (const key of Object.keys(target) as (keyof Mood)[]) {
      this.mood[key] += (target[key] - this.mood[key]) * approach;
    }
    this.nod += (energy - this.nod) * (1 - Math.exp(-seconds / 0.14));
    this.blinks.update(now);
    this.gaze.update(now, state);
    this.updatePose(now);
    this.updateWeights();
  }

  private updatePose(now: number): void {
    const pose = this.pose;
    if (this.reducedMotion) {
      pose.pitch = pose.yaw = pose.roll = pose.breath = 0;
      return;
    }
    const [a, b, c, d, e, f] = this.sway.map(({ hertz, phase }) => Math.sin(2 * Math.PI * (hertz * now + phase)));
    const sway = this.mood.sway * DEGREE;
    const { x, y } = this.gaze;
    pose.yaw = limit(sway * (0.9 * a! + 0.4 * b!) + x * 2.2 * DEGREE);
    pose.pitch = limit(sway * (0.4 * c! + 0.4 * d!) + this.mood.pitch - y * 1.2 * DEGREE + this.nod * 2.4 * DEGREE);
    pose.roll = limit(sway * (0.45 * e! + 0.4 * f!) + this.mood.roll);
    pose.breath = breath(now);
  }

  private updateWeights(): void {
    const { weights, mood } = this;
    weights.fill(0);
    set(weights, "mouthSmile", mood.smile);
    set(weights, "cheekSquint", mood.smile * 0.3);
    set(weights, "browOuterUp", mood.browUp * 0.6);
    set(weights, "browDown", mood.browDown);
    set(weights, "mouthPress", mood.press);
    set(weights, "eyeSquint", mood.browDown * 0.5);
    weights[BROW_INNER_UP] = mood.browUp;
    set(weights, "eyeBlink", this.blinks.value);
    if (!this.reducedMotion) this.look(this.gaze.x - this.pose.yaw / EYE_RANGE, this.gaze.y + this.pose.pitch / EYE_RANGE);
  }

  /** Turns both eyes: x > 0 to the person's left, y > 0 up; 1 is as far as an eye turns. */
  private look(x: number, y: number): void {
    const { weights } = this;
    weights[LOOK.outLeft] = weights[LOOK.inRight] = Math.max(0, x);
    weights[LOOK.inLeft] = weights[LOOK.outRight] = Math.max(0, -x);
    weights[LOOK.upLeft] = weights[LOOK.upRight] = Math.max(0, y);
    weights[LOOK.downLeft] = weights[LOOK.downRight] = Math.max(0, -y);
  }
}

/** A blink every 2 to 6 s, 150 ms long, now and then a double one. */
class Blinks {
  value = 0;
  private start = -1;
  private next: number | null = null;

  constructor(private readonly random: () => number) {}

  update(now: number): void {
    this.next ??= now + this.pause();
    if (now - this.next > 10) this.next = now + this.pause();
    while (now >= this.next) {
      this.start = this.next;
      this.next += this.random() < 0.12 ? 0.32 : this.pause();
    }
    this.value = lid(now - this.start);
  }

  private pause(): number {
    return 2 + 4 * this.random();
  }
}

/** How far the lids are closed `t` seconds into a blink: down in 50 ms, shut for 25 ms, up in 75 ms. */
function lid(t: number): number {
  if (t < 0 || t >= 0.15) return 0;
  if (t < 0.05) return smooth(t / 0.05);
  if (t < 0.075) return 1;
  return 1 - smooth((t - 0.075) / 0.075);
}

/** Where the eyes rest: mostly on the viewer with tiny shifts; aside now and then, and while thinking. */
class Gaze {
  x = 0;
  y = 0;
  private from = { x: 0, y: 0 };
  private to = { x: 0, y: 0 };
  private start = 0;
  private next: number | null = null;
  private state: AvatarState = "idle";
  private side = 1;

  constructor(private readonly random: () => number) {}

  update(now: number, state: AvatarState): void {
    if (this.next === null || now - this.next > 10) this.next = now + 1;
    if (state !== this.state) {
      const answers = state === "thinking" || this.state === "thinking" || state === "listening";
      this.state = state;
      if (answers) this.next = Math.min(this.next, now + 0.12);
    }
    if (now >= this.next) this.shift(this.next);
    const t = smooth(Math.min(1, Math.max(0, (now - this.start) / 0.06)));
    this.x = this.from.x + (this.to.x - this.from.x) * t;
    this.y = this.from.y + (this.to.y - this.from.y) * t;
  }

  private shift(now: number): void {
    const { random } = this;
    const away = Math.hypot(this.to.x, this.to.y) > 0.1;
    this.from = { x: this.x, y: this.y };
    this.start = now;
    if (this.state === "thinking") {
      if (random() < 0.3 || !away) this.side = random() < 0.5 ? -1 : 1;
      this.to = { x: this.side * (0.3 + 0.2 * random()), y: 0.12 + 0.2 * random() };
      this.next = now + 1.1 + 1.4 * random();
    } else if (!away && random() < (this.state === "idle" ? 0.3 : 0.12)) {
      this.to = { x: (random() < 0.5 ? -1 : 1) * (0.16 + 0.2 * random()), y: -0.16 + 0.26 * random() };
      this.next = now + 0.5 + 0.9 * random();
    } else {
      this.to = { x: 0.05 * (random() - 0.5), y: 0.04 * (random() - 0.5) };
      this.next = now + 0.8 + 2.2 * random();
    }
  }
}

interface Wave {
  hertz: number;
  phase: number;
}

const BROW_INNER_UP = shape("browInnerUp");
const LOOK = {
  outLeft: shape("eyeLookOutLeft"),
  outRight: shape("eyeLookOutRight"),
  inLeft: shape("eyeLookInLeft"),
  inRight: shape("eyeLookInRight"),
  upLeft: shape("eyeLookUpLeft"),
  upRight: shape("eyeLookUpRight"),
  downLeft: shape("eyeLookDownLeft"),
  downRight: shape("eyeLookDownRight"),
};

function set(weights: Float32Array, name: string, value: number): void {
  weights[shape(`${name}Left`)] = value;
  weights[shape(`${name}Right`)] = value;
}

/** 14 breaths a minute; breathing in is quicker than breathing out. */
function breath(now: number): number {
  const period = 4.3;
  const t = (((now % period) + period) % period) / period;
  return t < 0.4 ? smooth(t / 0.4) : 1 - smooth((t - 0.4) / 0.6);
}

function limit(angle: number): number {
  return MAX_ANGLE * Math.tanh(angle / MAX_ANGLE);
}

function smooth(t: number): number {
  return t * t * (3 - 2 * t);
}

/** A 32-bit seeded generator of numbers in 0..1 (Tommy Ettinger's mulberry32, public domain). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
