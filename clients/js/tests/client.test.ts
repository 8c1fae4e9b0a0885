import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { VisavisClient, backoff } from "../src/client";
import { address, socketAddress } from "../src/server";
import { Player } from "../src/player";
import type { Connection } from "../src/client";

class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  readonly sent: (string | Int16Array)[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  closedWith: number | undefined | null = null;

  send(data: string | Int16Array): void {
    this.sent.push(data);
  }

  close(code?: number): void {
    this.closedWith = code;
    this.readyState = 3;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  tell(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  drop(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }

  get json(): Record<string, unknown>[] {
    return this.sent.filter((data) => typeof data === "string").map((data) => JSON.parse(data as string));
  }
}

const config = (sessionId: string, extra: object = {}) => ({
  type: "config", audio: { inputSampleRate: 16000, outputSampleRate: 24000 }, fps: 30, sessionId,
  resume: `token-${sessionId}`, resumed: false, ...extra,
});

let sockets: FakeSocket[];
let client: VisavisClient;
let states: Connection[];
const socket = () => sockets.at(-1)!;

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  states = [];
  client = new VisavisClient({
    url: "ws://here/ws", userId: "me", random: () => 1,
    createSocket: () => {
      sockets.push(new FakeSocket());
      return socket() as unknown as WebSocket;
    },
  });
  client.on("connection", (state) => states.push(state));
});
afterEach(() => vi.useRealTimers());

function connect(session = "a"): void {
  client.connect();
  socket().open();
  socket().tell(config(session));
}

describe("connecting", () => {
  it("says hello first and waits for config", () => {
    client.connect();
    socket().open();
    expect(socket().json).toEqual([{ type: "hello", encoding: "binary", weights: "array" }]);
    expect(states.at(-1)!.status).toBe("connecting");
    socket().tell(config("a"));
    expect(states.at(-1)!.status).toBe("open");
    expect(client.sessionId).toBe("a");
  });

  it("says what was typed before there was a connection", () => {
    client.sendText("hi");
    connect();
    expect(socket().json.filter((message) => message.type === "text")).toMatchObject([{ data: "hi", userId: "me" }]);
  });

  it("finds the socket beside the page, behind any prefix", () => {
    vi.stubGlobal("document", { baseURI: "https://example.org/face/?debug#x" });
    expect(socketAddress("", "ws")).toBe("wss://example.org/face/ws");
    vi.unstubAllGlobals();
  });

  it("finds a server that is elsewhere, with a token", () => {
    expect(socketAddress("http://localhost:8080", "ws")).toBe("ws://localhost:8080/ws");
    expect(socketAddress("ws://localhost:8000", "api/v1/sessions")).toBe("ws://localhost:8000/api/v1/sessions");
    expect(socketAddress("https://example.org/face", "ws", "a&b")).toBe("wss://example.org/face/ws?token=a%26b");
    expect(address("wss://example.org/face/", "avatars/mia/mia.glb").href).toBe("https://example.org/face/avatars/mia/mia.glb");
  });

  it("begins another conversation when it is told to", () => {
    connect("a");
    client.restart();
    expect(sockets[0]!.closedWith).toBe(1000);
    socket().open();
    expect(socket().json).toEqual([{ type: "hello", encoding: "binary", weights: "array" }]);
    socket().tell(config("b"));
    expect(client.sessionId).toBe("b");
  });
});

describe("reconnecting", () => {
  it("waits longer each time, up to 15 s, and never less than half", () => {
    expect([0, 1, 2, 3, 4, 5, 9].map((attempt) => backoff(attempt, 1))).toEqual(
      [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    expect(backoff(2, 0)).toBe(1000);
  });

  it("tries again and again until there is a server", () => {
    client.connect();
    for (const [index, delay] of [500, 1000, 2000, 4000].entries()) {
      socket().drop();
      expect(states.at(-1)).toMatchObject({ status: "reconnecting", retryInMs: delay });
      vi.advanceTimersByTime(delay - 1);
      expect(sockets).toHaveLength(index + 1);
      vi.advanceTimersByTime(1);
      expect(sockets).toHaveLength(index + 2);
    }
  });

  it("starts over with short waits after a connection that lasted", () => {
    connect();
    vi.advanceTimersByTime(6000);
    socket().drop();
    expect(states.at(-1)!.retryInMs).toBe(500);
  });

  it("resumes the conversation with its token", () => {
    const sessions: object[] = [];
    client.on("session", (session) => sessions.push(session));
    connect("a");
    socket().drop();
    vi.advanceTimersByTime(500);
    socket().open();
    expect(socket().json[0]).toMatchObject({ type: "hello", resume: "token-a" });
    socket().tell(config("b"));
    expect(client.sessionId).toBe("a");
    socket().tell(config("a", { resumed: true }));
    expect(sessions).toEqual([{ sessionId: "a", resumed: false }, { sessionId: "a", resumed: true }]);
    expect(states.at(-1)!.status).toBe("open");
  });

  it("goes on with a new conversation when the old one is over", () => {
    connect("a");
    socket().drop();
    vi.advanceTimersByTime(500);
    socket().open();
    socket().tell(config("b"));
    socket().tell({ type: "error", code: "RESUME_EXPIRED", message: "over" });
    expect(client.sessionId).toBe("b");
    expect(states.at(-1)!.status).toBe("open");
    socket().drop();
    vi.advanceTimersByTime(1000);
    socket().open();
    expect(socket().json[0]).toMatchObject({ resume: "token-b" });
  });

  it("does not come back when it was replaced, refused, or hung up itself", () => {
    for (const code of [1000, 1008]) {
      client.connect();
      socket().drop(code);
      expect(states.at(-1)).toMatchObject({ status: "closed", code });
    }
    client.connect();
    client.close();
    const count = sockets.length;
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(count);
  });

  it("gives a full server more time", () => {
    client.connect();
    socket().drop(1013);
    expect(states.at(-1)).toMatchObject({ status: "reconnecting", full: true, retryInMs: 4000 });
  });

  it("notices a server that does not answer", () => {
    connect();
    vi.advanceTimersByTime(9_999);
    expect(states.at(-1)!.status).toBe("open");
    vi.advanceTimersByTime(1);
    expect(states.at(-1)!.status).toBe("reconnecting");
  });

  it("pings every 20 s and measures the way there and back", () => {
    connect();
    vi.advanceTimersByTime(35);
    socket().tell({ type: "pong", timestamp: 1 });
    expect(client.roundTripMs).toBe(35);
    vi.advanceTimersByTime(20_000);
    expect(socket().json.filter((message) => message.type === "ping")).toHaveLength(2);
  });

  it("takes on another voice in the middle of a conversation, once, and keeps it on another line", () => {
    connect();
    client.cast("kenji");
    client.cast("kenji");
    const greetings = () => socket().json.filter(({ type }) => type === "hello");
    expect(greetings().map(({ avatar }) => avatar)).toEqual([undefined, "kenji"]);
    socket().drop();
    vi.advanceTimersByTime(1000);
    client.cast("amara");
    socket().open();
    client.cast("pip");
    expect(greetings()).toMatchObject([{ resume: "token-a", avatar: "amara" }, { avatar: "pip" }]);
  });
});

describe("a server that records", () => {
  let signs: boolean[];
  beforeEach(() => {
    signs = [];
    client.on("recorded", (recorded) => signs.push(recorded));
    client.connect();
    socket().open();
    socket().tell(config("a", { recorded: true }));
  });

  it("is known from the configuration", () => {
    expect([client.recorded, signs]).toEqual([true, [true]]);
  });

  it("is refused even before the connection has its configuration", () => {
    socket().drop();
    vi.advanceTimersByTime(1000);
    socket().open();
    client.refuseRecording();
    expect(socket().json.map(({ recording }) => recording)).toEqual([undefined, false]);
  });

  it("is refused, now and after every reconnection, without taking the conversation's place again", () => {
    client.refuseRecording();
    expect(socket().json.at(-1)).toEqual({ type: "hello", encoding: "binary", weights: "array", recording: false });
    expect([client.recorded, signs]).toEqual([false, [true, false]]);
    socket().drop();
    vi.advanceTimersByTime(1000);
    socket().open();
    expect(socket().json[0]).toMatchObject({ type: "hello", resume: "token-a", recording: false });
    socket().tell(config("b", { recorded: true }));
    socket().tell(config("a", { resumed: true }));
    expect([client.recorded, signs]).toEqual([false, [true, false]]);
  });
});

describe("the microphone", () => {
  const chunk = () => new Int16Array(512);
  const audio = () => socket().sent.filter((data) => typeof data !== "string");

  it("is announced with its rate, streamed, and ended", () => {
    connect();
    client.startAudio(48000);
    client.sendAudio(chunk());
    client.endAudio();
    const types = socket().sent.map((data) => (typeof data === "string" ? JSON.parse(data).type : "pcm"));
    expect(types.slice(-3)).toEqual(["audio_stream_start", "pcm", "audio_stream_end"]);
    expect(socket().json.find((message) => message.type === "audio_stream_start")).toMatchObject({ sampleRate: 48000 });
  });

  it("is held: only the button ends the turn, also after a reconnection", () => {
    connect();
    client.startAudio(16000, { handsFree: false });
    const started = () => socket().json.find((message) => message.type === "audio_stream_start");
    expect(started()).toMatchObject({ handsFree: false });
    socket().drop();
    vi.advanceTimersByTime(500);
    socket().open();
    socket().tell(config("a", { resumed: true }));
    expect(started()).toMatchObject({ handsFree: false });
    client.endAudio();
    client.startAudio(16000);
    expect(socket().json.at(-1)).not.toHaveProperty("handsFree");
  });

  it("waits for a slow socket, forgets the oldest, and sends all that is left before the end", () => {
    connect();
    client.startAudio(16000);
    socket().bufferedAmount = 1e6;
    for (let i = 0; i < 130; i++) client.sendAudio(chunk());
    expect(audio()).toHaveLength(0);
    expect(client.droppedChunks).toBe(10);
    socket().bufferedAmount = 0;
    client.endAudio();
    expect(audio()).toHaveLength(120);
    expect(socket().json.at(-1)!.type).toBe("audio_stream_end");
  });

  it("is announced again after a reconnection", () => {
    connect();
    client.startAudio(16000);
    socket().drop();
    client.sendAudio(chunk());
    vi.advanceTimersByTime(500);
    socket().open();
    socket().tell(config("b"));
    socket().tell(config("a", { resumed: true }));
    expect(socket().json.map((message) => message.type)).toContain("audio_stream_start");
    client.sendAudio(chunk());
    expect(audio()).toHaveLength(2);
  });
});

describe("with a player", () => {
  it("hands over turns, words and interruptions, and survives messages it does not know", () => {
    const player = new Player();
    client.attach(player);
    connect();
    socket().tell({ type: "from_the_future" });
    socket().tell({ type: "audio_start", turnId: "turn_1", turn: 1, sessionId: "a", sampleRate: 24000 });
    socket().tell({ type: "transcript_delta", role: "assistant", text: "Hi!", turnId: "turn_1", startOffset: 0, endOffset: 300 });
    expect(player.current?.words).toEqual([{ text: "Hi!", start: 0, end: 300 }]);
    socket().tell({ type: "interrupt", turnId: "turn_1", offsetMs: 100 });
    expect(player.current).toBeNull();
  });

  it("tells what a turn draws on", () => {
    const told = vi.fn();
    client.on("sources", told);
    connect();
    const sources = [{ title: "Hours", url: "", excerpt: "Open from 8 to 18." }];
    socket().tell({ type: "sources", turnId: "turn_1", sources });
    expect(told).toHaveBeenCalledWith({ type: "sources", turnId: "turn_1", sources });
  });

  it("forgets the turns of a conversation that could not be resumed", () => {
    const player = new Player();
    client.attach(player);
    connect("a");
    socket().tell({ type: "audio_start", turnId: "turn_1", turn: 1, sessionId: "a", sampleRate: 24000 });
    const old = player.current;
    socket().drop();
    vi.advanceTimersByTime(500);
    socket().open();
    socket().tell(config("b"));
    socket().tell({ type: "error", code: "RESUME_EXPIRED", message: "over" });
    expect(player.current).toBeNull();
    socket().tell({ type: "audio_start", turnId: "turn_1", turn: 1, sessionId: "b", sampleRate: 24000 });
    expect(player.current).not.toBe(old);
  });
});

describe("actions", () => {
  it("are done, and their results sent to who waits for them", async () => {
    connect();
    const shown: unknown[] = [];
    client.onAction("show", (given) => shown.push(given));
    const action = { type: "trigger_action", function_name: "show", arguments: { id: 7 } };
    socket().tell(action);
    socket().tell({ ...action, callId: "c" });
    await vi.waitFor(() => expect(socket().json.at(-1)).toEqual({ type: "action_result", callId: "c", result: 2 }));
    expect(shown).toEqual([{ id: 7 }, { id: 7 }]);
    expect(socket().json.filter(({ type }) => type === "action_result")).toHaveLength(1);
  });
});
