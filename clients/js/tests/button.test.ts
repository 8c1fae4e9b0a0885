import { beforeEach, describe, expect, it, vi, afterEach } from "vitest";
import { MicrophoneButton, type MicrophoneButtonParts } from "../src/button";
import type { VisavisClient } from "../src/client";
import { Emitter } from "../src/emitter";
import type { Microphone, MicrophoneEvents } from "../src/microphone";

class FakeButton extends EventTarget {
  readonly classes = new Set<string>();
  readonly attributes = new Map<string, string>();
  readonly classList = { add: (name: string) => this.classes.add(name), remove: (name: string) => this.classes.delete(name) };
  setAttribute = (name: string, value: string) => this.attributes.set(name, value);
  setPointerCapture = () => undefined;
}

class FakeMicrophone extends Emitter<MicrophoneEvents> {
  rate = 16000;
  stop = vi.fn();
  hear(value: number): void {
    this.emit("chunk", Int16Array.of(value));
  }
  lose(): void {
    this.emit("lost", new Error("It was disconnected.") as never);
  }
}

let button: FakeButton;
let microphone: FakeMicrophone;
/** What the client was told, in order. */
let told: unknown[];
let problems: string[];
let holdOnly: boolean;
let start: () => Promise<void>;
let talk: MicrophoneButton;

beforeEach(() => {
  vi.useFakeTimers();
  button = new FakeButton();
  microphone = new FakeMicrophone();
  [told, problems, holdOnly, start] = [[], [], false, () => Promise.resolve()];
  const client = {
    startAudio: (_: number, { handsFree }: { handsFree: boolean }) => told.push(handsFree ? "tapped" : "held"),
    sendAudio: (samples: Int16Array) => told.push(samples[0]),
    endAudio: () => told.push("end"),
  };
  talk = new MicrophoneButton({
    button: button as unknown as HTMLElement, microphone: microphone as unknown as Microphone,
    client: () => client as unknown as VisavisClient, start: () => start(), holdOnly: () => holdOnly,
    keys: button, spaceIsFree: () => true, onChange: (on) => told.push(on),
    onProblem: ({ message }) => problems.push(message), onHold: () => told.push("hold"), onTap: () => told.push("hint"),
  } satisfies MicrophoneButtonParts);
});
afterEach(() => vi.useRealTimers());

/** The clock of the events is that of the timers. */
function fire(type: string, more: object = {}): Event {
  const event = Object.assign(new Event(type, { cancelable: true }), more);
  Object.defineProperty(event, "timeStamp", { value: Date.now() });
  button.dispatchEvent(event);
  return event;
}
const press = () => fire("pointerdown", { button: 0, pointerId: 1 });
const release = () => fire("pointerup");
const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe("the microphone's button", () => {
  it("keeps the turn while it is held, and loses nothing of its beginning", async () => {
    press();
    await wait(100);
    microphone.hear(1);
    await wait(300);
    microphone.hear(2);
    expect(button.classes.has("held")).toBe(true);
    release();
    expect(told).toEqual([true, "held", 1, "hold", 2, "end", false]);
    expect(button.attributes.get("aria-pressed")).toBe("false");
    expect(button.classes.has("held")).toBe(false);
    expect(microphone.stop).toHaveBeenCalledOnce();
  });

  it("is held when it was held, also if the page was too busy to notice", async () => {
    press();
    vi.setSystemTime(Date.now() + 1000);
    release();
    await wait(0);
    expect(told).toEqual(["held", true, "end", false]);
  });

  it("is tapped when it was tapped, also if the page was too busy to hear of the end in time", async () => {
    press();
    const soon = Date.now() + 100;
    await wait(1000);
    vi.setSystemTime(soon);
    release();
    expect(told).toEqual([true, "held", "hold", "tapped"]);
    press();
    release();
    expect(told.slice(4)).toEqual(["end", false]);
  });

  it("is switched on and off by taps", async () => {
    press();
    await wait(100);
    microphone.hear(1);
    release();
    await wait(1000);
    microphone.hear(2);
    expect(told).toEqual([true, "tapped", 1, 2]);
    press();
    release();
    expect(told.slice(4)).toEqual(["end", false]);
  });

  it("keeps the turn from now on when it is held while it is on", async () => {
    await talk.begin();
    press();
    await wait(400);
    release();
    expect(told).toEqual(["tapped", true, "held", "hold", "end", false]);
    await talk.begin();
    expect(told.slice(6)).toEqual(["tapped", true]);
  });

  it("works with the space bar, which then does not press the button too", async () => {
    expect(fire("keydown", { key: " " }).defaultPrevented).toBe(true);
    await wait(400);
    fire("keydown", { key: " ", repeat: true });
    expect(fire("keyup", { key: " " }).defaultPrevented).toBe(true);
    expect(fire("keydown", { key: "a" }).defaultPrevented).toBe(false);
    expect(told).toEqual([true, "held", "hold", "end", false]);
  });

  it("does nothing at a tap where it has to be held", async () => {
    holdOnly = true;
    press();
    await wait(100);
    release();
    expect(told).toEqual(["held", true, "hint", "end", false]);
  });

  it("is released when the window is left", async () => {
    press();
    await wait(400);
    fire("blur");
    release();
    expect(told).toEqual([true, "held", "hold", "end", false]);
  });

  it("is off in the end when it is released before the microphone has started", async () => {
    let allow = () => {};
    start = () => new Promise((done) => (allow = done));
    press();
    await wait(500);
    release();
    expect(told).toEqual(["hold"]);
    allow();
    await wait(0);
    expect(talk.on).toBe(false);
    expect(told.slice(-2)).toEqual(["end", false]);
  });

  it("can be switched on as if it were held, by a click of a screen reader, and tells why it cannot", async () => {
    await talk.begin({ handsFree: false });
    expect(told).toEqual(["held", true]);
    fire("click", { detail: 0 });
    expect(told.slice(2)).toEqual(["end", false]);
    start = () => Promise.reject(new Error("No microphone was found."));
    await expect(talk.begin()).rejects.toThrow("No microphone");
    expect([talk.on, problems]).toEqual([false, ["No microphone was found."]]);
  });

  it("is off when the microphone is lost", async () => {
    await talk.begin();
    microphone.lose();
    expect([talk.on, problems, told.at(-2)]).toEqual([false, ["It was disconnected."], "end"]);
  });
});
