import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AvatarChatClient } from "../src/api/client";
import { ApiError, createSession, type ApiSession } from "../src/api/session";
import { VisavisClient } from "../src/client";
import { Player } from "../src/player";
import { ApiTransport } from "../src/video/socket";

class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  readonly sent: unknown[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  constructor(readonly url: string) {}

  send(data: unknown): void {
    this.sent.push(typeof data === "string" ? JSON.parse(data) : data);
  }

  close(code = 1005): void {
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  tell(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

let sockets: FakeSocket[];
const socket = () => sockets.at(-1)!;
const createSocket = (url: string) => {
  sockets.push(new FakeSocket(url));
  return socket() as unknown as WebSocket;
};
beforeEach(() => (sockets = []));
afterEach(() => vi.unstubAllGlobals());

describe("AvatarChatClient", () => {
  async function connected() {
    const client = new AvatarChatClient("ws://localhost:8000", "abc", { createSocket });
    const standing = client.connect();
    socket().open();
    await standing;
    return client;
  }

  it("speaks the dialect of the session's socket", async () => {
    const client = await connected();
    expect(socket().url).toBe("ws://localhost:8000/api/v1/sessions/abc/ws");
    client.sendText("Hello");
    client.interrupt();
    client.endAudio();
    expect(socket().sent).toEqual(["text_message", "interrupt", "end_audio"].map((type) =>
      expect.objectContaining({ type, session_id: "abc", timestamp: expect.any(Number) })));
    expect(socket().sent[0]).toMatchObject({ data: "Hello" });
  });

  it("hands on what it knows, and nothing else", async () => {
    const client = await connected();
    const heard: unknown[] = [];
    for (const type of ["avatar_frame", "audio_response", "text_response"] as const) client.on(type, (m) => heard.push(m));
    const told = ["avatar_frame", "audio_response", "text_response"].map((type) => ({ type, data: type }));
    for (const message of [...told, { type: "connection", status: "nonsense" }, { type: 7 }]) socket().tell(message);
    socket().onmessage!({ data: "no JSON" });
    expect(heard).toEqual(told);
  });

  it("rejects when there is no such session", async () => {
    const standing = new AvatarChatClient("http://localhost:8000", "abc", { createSocket }).connect();
    socket().onclose!({ code: 1008, reason: "there is no such session" });
    await expect(standing).rejects.toThrow("there is no such session");
  });

  it("sends what MediaRecorder records every 250 ms, the last of it, and then the end", async () => {
    const recorder = {
      state: "recording", start: vi.fn(), onstop: null as (() => void) | null,
      ondataavailable: null as ((event: { data: Blob }) => void) | null,
      stop() {
        this.state = "inactive";
        this.ondataavailable?.({ data: new Blob(["two"]) });
        this.onstop?.();
      },
    };
    const client = new AvatarChatClient("", "abc", { createSocket, createRecorder: () => recorder as unknown as MediaRecorder });
    vi.stubGlobal("document", { baseURI: "https://example.org/" });
    const standing = client.connect();
    socket().open();
    await standing;
    await client.startAudioCapture({} as MediaStream);
    expect(recorder.start).toHaveBeenCalledWith(250);
    recorder.ondataavailable!({ data: new Blob(["one"]) });
    recorder.ondataavailable!({ data: new Blob([]) });
    await client.stopAudioCapture();
    expect(socket().sent).toMatchObject([
      { type: "audio_chunk", data: btoa("one") }, { type: "audio_chunk", data: btoa("two") }, { type: "end_audio" },
    ]);
  });
});

describe("sessions", () => {
  it("are created where the server is, with what is wished for and the token", async () => {
    const fetched = vi.fn(async (_url: URL, _init: RequestInit) => new Response('{"session_id": "s"}', { status: 201 }));
    vi.stubGlobal("fetch", fetched);
    expect(await createSession("http://here:1", { avatar: "pip" }, "t")).toEqual({ session_id: "s" });
    const [url, init] = fetched.mock.calls[0]!;
    expect(url.href).toBe("http://here:1/api/v1/sessions");
    expect(init).toMatchObject({ body: '{"avatar":"pip"}', headers: { Authorization: "Bearer t" } });
  });

  it("say why there is none", async () => {
    vi.stubGlobal("fetch", async () => new Response('{"code": "SERVER_FULL", "message": "All taken."}', { status: 503 }));
    const error = await createSession("http://here:1").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 503, code: "SERVER_FULL", message: "All taken." });
  });
});

describe("a conversation over a session", () => {
  let created: number;
  const session = (): ApiSession => ({
    session_id: `s${created}`, fps: 25, avatar: "mia", audio: { input_sample_rate: 16000, output_sample_rate: 24000 },
  }) as ApiSession;
  const pcm = btoa("\x01\x00".repeat(960));

  async function talk() {
    created = 0;
    const transport = new ApiTransport({
      server: "http://here:1", createSocket, createSession: async () => (created++, session()),
    });
    const client = new VisavisClient({ url: "api", createSocket: transport.open, random: () => 1 });
    const player = new Player();
    client.attach(player);
    client.connect();
    await vi.waitFor(() => expect(sockets).toHaveLength(1));
    socket().open();
    await vi.waitFor(() => expect(client.connection.status).toBe("open"));
    return { client, player };
  }

  it("is told in turns, frames and words with their times", async () => {
    const { client, player } = await talk();
    expect(client.sessionId).toBe("s1");
    const frames = vi.fn();
    const done = vi.fn();
    client.on("frame", frames);
    client.on("transcript_done", done);
    const of = { turn_id: "turn_3", timestamp: 5 };
    socket().tell({ type: "text_response", data: "Hello", is_final: false, ...of });
    for (let k = 0; k < 5; k++) socket().tell({ type: "audio_response", data: pcm, frame_id: k, sample_rate: 24000, ...of });
    socket().tell({ type: "text_response", data: "Hello there.", is_final: false, ...of });
    expect(player.current!.words).toEqual([
      { text: "Hello", start: 0, end: 300 }, { text: "there.", start: 200, end: 500 },
    ]);
    expect(frames).toHaveBeenCalledTimes(5);
    expect(frames.mock.lastCall![0]).toMatchObject({ turn: 3, index: 4, timestamp: 5 });
    expect(frames.mock.lastCall![0].pcm).toHaveLength(960);
    socket().tell({ type: "interrupted", offset_ms: 90, ...of });
    socket().tell({ type: "text_response", data: "Hello", is_final: true, ...of });
    expect(player.current).toBeNull();
    expect(done).toHaveBeenCalledExactlyOnceWith(
      { type: "transcript_done", role: "assistant", text: "Hello", turnId: "turn_3", interrupted: true });
  });

  it("does not say again what was typed", async () => {
    const { client } = await talk();
    const done = vi.fn();
    client.on("transcript_done", done);
    client.sendText(" Hi! ");
    expect(socket().sent.at(-1)).toMatchObject({ type: "text_message", data: " Hi! " });
    socket().tell({ type: "transcript", data: "Hi!", is_final: true });
    socket().tell({ type: "transcript", data: "And now aloud.", is_final: true });
    expect(done).toHaveBeenCalledTimes(1);
    expect(done.mock.lastCall![0]).toMatchObject({ role: "user", text: "And now aloud." });
  });

  it("brings the microphone to the rate of the session", async () => {
    const { client } = await talk();
    client.startAudio(48000);
    client.sendAudio(new Int16Array(480).fill(7));
    client.endAudio();
    const [samples, end] = socket().sent.slice(-2) as [Int16Array, object];
    expect([...samples]).toEqual(Array(160).fill(7));
    expect(end).toMatchObject({ type: "end_audio" });
  });

  it("says whether a button is held, also while the microphone is on", async () => {
    const { client } = await talk();
    client.startAudio(16000, { handsFree: false });
    client.startAudio(16000);
    expect(socket().sent.slice(-2)).toMatchObject([
      { type: "start_audio", hands_free: false }, { type: "start_audio", hands_free: true },
    ]);
  });

  it("goes on in the same session after a lost line, and in a new one after its end", async () => {
    const { client } = await talk();
    const sessions: object[] = [];
    client.on("session", (told) => sessions.push(told));
    for (const code of [1006, 1000]) {
      const before = sockets.length;
      socket().close(code);
      await vi.waitFor(() => expect(sockets.length).toBe(before + 1), { timeout: 3000 });
      socket().open();
      await vi.waitFor(() => expect(client.connection.status).toBe("open"));
    }
    expect(sessions).toEqual([{ sessionId: "s1", resumed: true }, { sessionId: "s2", resumed: false }]);
  });
});
