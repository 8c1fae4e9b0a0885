/** A session of the api dialect behind the face of `WS /ws`: whatever talks over that can talk over video too. */

import { BLENDSHAPES, WEIGHTS } from "../arkit";
import { AvatarChatClient, type AvatarChatOptions } from "../api/client";
import { ApiError, type ApiSession, createSession, endSession, recastSession, type SessionWish } from "../api/session";
import { fromBase64 } from "../base64";
import { FRAME_HEADER, type AvatarState, type ServerMessage } from "../protocol";
import { TokenError, Tokens, type TokenSource } from "../tokens";
import { Decimator } from "./decimator";

const STATES: Record<string, AvatarState> = {
  idle: "Idle", listening: "Listening", thinking: "Thinking", speaking: "Responding",
};
const HEADER = FRAME_HEADER + WEIGHTS;
const REFUSED = 1008;
const FULL = 1013;
/** Reasons that are not about the session, but about who wants it. */
const REFUSALS = /^(UNAUTHORIZED|FORBIDDEN)\b/;
/** Milliseconds that a word is taken to last; the dialect does not tell. */
const WORD_MS = 300;

export interface Picture {
  turn: number;
  frame: number;
  /** JPEG in base64. */
  jpeg: string;
}

export interface ApiTransportOptions {
  server?: string;
  token?: TokenSource | Tokens;
  wish?: SessionWish;
  /** A session begins, or goes on after the line was lost. */
  onSession?: (session: ApiSession) => void;
  onPicture?: (picture: Picture) => void;
  createSession?: typeof createSession;
  recastSession?: typeof recastSession;
  createSocket?: AvatarChatOptions["createSocket"];
}

/** Makes the sockets of one VisavisClient; the session outlives a line that is lost. */
export class ApiTransport {
  session: ApiSession | null = null;
  readonly tokens: Tokens;

  constructor(readonly options: ApiTransportOptions) {
    this.tokens = Tokens.of(options.server, options.token);
  }

  /** What `VisavisClient` takes as `createSocket`. */
  readonly open = (): WebSocket => new ApiSocket(this) as unknown as WebSocket;

  /** Whose face and voice the session has from now on. */
  async cast(avatar: string): Promise<void> {
    this.options.wish = { ...this.options.wish, avatar };
    const { session, tokens, options } = this;
    if (!session || session.avatar === avatar) return;
    session.avatar = avatar;
    await (options.recastSession ?? recastSession)(options.server ?? "", session.session_id, avatar, tokens);
  }

  async end(): Promise<void> {
    const { session } = this;
    this.session = null;
    if (session) await endSession(this.options.server ?? "", session.session_id, this.tokens);
  }

  async begin(): Promise<ApiSession> {
    const { server, wish } = this.options;
    if (this.session) return this.session;
    this.session = await (this.options.createSession ?? createSession)(server, wish, this.tokens);
    const { avatar } = this.options.wish ?? {};
    if (avatar) void this.cast(avatar); // it was changed meanwhile
    return this.session;
  }
}

/** The part of a WebSocket that VisavisClient uses. */
class ApiSocket {
  readyState = 0;
  binaryType = "arraybuffer";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  private session: ApiSession | null = null;
  private client: AvatarChatClient | null = null;
  private decimator: Decimator | null = null;
  private turn = { id: "", frames: 0, text: "" };
  /** What was typed, until the session says it too. */
  private typed: string[] = [];
  /** The turn that was interrupted. */
  private cut = "";

  constructor(private readonly transport: ApiTransport) {
    void this.open();
  }

  get bufferedAmount(): number {
    return this.client?.bufferedAmount ?? 0;
  }

  send(data: string | Int16Array): void {
    if (typeof data !== "string") return this.hear(data);
    const message = JSON.parse(data) as { type: string; [key: string]: unknown };
    switch (message.type) {
      case "hello":
        return this.greet(message.resume as string | undefined);
      case "text":
        this.typed.push((message.data as string).trim());
        return this.client?.sendText(message.data as string);
      case "audio_stream_start": {
        const wanted = this.session!.audio.input_sample_rate;
        this.decimator = new Decimator(message.sampleRate as number, wanted);
        return this.client?.startAudio({ handsFree: message.handsFree !== false });
      }
      case "audio_stream_end":
        return this.client?.endAudio();
      case "interrupt":
        return this.client?.interrupt();
      case "ping":
        return this.client?.ping();
      case "action_result": {
        const { type: _, callId, ...done } = message;
        return this.client?.answerAction(callId as string, done as { result: unknown } | { error: string });
      }
    }
  }

  close(code = 1005): void {
    this.client?.close();
    if (code === 1000) void this.transport.end();
    this.readyState = 3;
  }

  private async open(): Promise<void> {
    try {
      await this.connect();
    } catch (error) {
      this.closed(closeCode(error), error instanceof Error ? error.message : String(error));
    }
  }

  private async connect(): Promise<void> {
    const { server = "", createSocket } = this.transport.options;
    const session = (this.session = await this.transport.begin());
    if (this.readyState === 3) return;
    const client = new AvatarChatClient(server, session.session_id, { token: this.transport.tokens, createSocket });
    this.client = client;
    client.on("connection", (connection) => {
      if (connection.status === "closed") this.lost(connection.code, connection.reason);
    });
    client.on("state", ({ state }) => this.tell({ type: "avatar_state", state: STATES[state]! }));
    client.on("avatar_frame", (frame) => {
      if (frame.data === undefined) return;
      this.transport.options.onPicture?.({ turn: number(frame.turn_id), frame: frame.frame_id, jpeg: frame.data });
    });
    client.on("audio_response", (sound) => this.frame(sound));
    client.on("text_response", ({ turn_id, data, is_final }) =>
      is_final ? this.finish(turn_id, data) : this.word(turn_id, data));
    client.on("interrupted", ({ turn_id, offset_ms }) => {
      this.cut = turn_id;
      this.tell({ type: "interrupt", turnId: turn_id, offsetMs: offset_ms });
    });
    client.on("transcript", ({ data, is_final }) => this.understood(data, is_final));
    client.on("action", ({ name, arguments: given, call_id: callId }) =>
      this.tell({ type: "trigger_action", function_name: name, arguments: given, ...(callId ? { callId } : {}) }));
    client.on("error", ({ code, message }) => this.tell({ type: "error", code, message }));
    client.on("pong", () => this.tell({ type: "pong" }));
    await client.connect();
    this.readyState = 1;
    this.transport.options.onSession?.(session);
    this.onopen?.();
  }

  /** The session's id is the token that brings one back to it. */
  private greet(resume: string | undefined): void {
    const { session_id, audio, fps } = this.session!;
    this.tell({
      type: "config", sessionId: session_id, resume: session_id, resumed: resume === session_id, fps,
      audio: { inputSampleRate: audio.input_sample_rate, outputSampleRate: audio.output_sample_rate },
      blendshapes: [...BLENDSHAPES],
    });
    if (resume !== undefined && resume !== session_id) {
      this.tell({ type: "error", code: "RESUME_EXPIRED", message: "That conversation is over; a new one has begun." });
    }
  }

  /** What was typed is known on this side, as it is to `WS /ws`. */
  private understood(text: string, final: boolean): void {
    const at = final ? this.typed.indexOf(text) : -1;
    if (at >= 0) this.typed.splice(0, at + 1);
    else if (final) this.tell({ type: "transcript_done", role: "user", text, turnId: "user" });
    else this.tell({ type: "transcript_partial", role: "user", text });
  }

  private hear(samples: Int16Array): void {
    this.client?.sendAudio(this.decimator?.feed(samples) ?? samples);
  }

  private begin(id: string): void {
    if (this.turn.id === id) return;
    this.turn = { id, frames: 0, text: "" };
    const { session_id, audio } = this.session!;
    const rate = audio.output_sample_rate;
    this.tell({ type: "audio_start", turnId: id, turn: number(id), sessionId: session_id, sampleRate: rate });
  }

  private frame(sound: { turn_id: string; frame_id: number; data: string; timestamp: number }): void {
    this.begin(sound.turn_id);
    this.turn.frames = sound.frame_id + 1;
    const pcm = fromBase64(sound.data);
    this.onmessage?.({ data: frameBytes(number(sound.turn_id), sound.frame_id, sound.timestamp, pcm) });
  }

  /** Words are told just before the frames in which they begin. */
  private word(id: string, text: string): void {
    this.begin(id);
    const word = text.slice(this.turn.text.length).trim();
    this.turn.text = text;
    const startOffset = (this.turn.frames * 1000) / this.session!.fps;
    const times = { startOffset, endOffset: startOffset + WORD_MS };
    if (word) this.tell({ type: "transcript_delta", role: "assistant", text: word, turnId: id, ...times });
  }

  private finish(id: string, text: string): void {
    if (this.turn.id !== id && !text) return; // it never began
    const interrupted = this.cut === id;
    if (!interrupted) this.tell({ type: "audio_end", turnId: id });
    this.tell({ type: "transcript_done", role: "assistant", text, turnId: id, ...(interrupted ? { interrupted } : {}) });
  }

  private lost(code: number, reason: string): void {
    // The session has ended, or the server no longer knows it: the next one is new.
    const over = code === 1000 || (code === REFUSED && !REFUSALS.test(reason));
    if (over && this.transport.session === this.session) this.transport.session = null;
    this.closed(over ? 1006 : code, reason);
  }

  private closed(code: number, reason: string): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  private tell(message: ServerMessage): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

/** What it means for a WebSocket that there is no session. */
function closeCode(error: unknown): number {
  if (error instanceof TokenError) return REFUSED;
  if (!(error instanceof ApiError)) return 1006;
  return error.status === 503 ? FULL : error.status === 401 || error.status === 403 ? REFUSED : 1006;
}

const number = (turnId: string) => Number(turnId.replace("turn_", ""));

/** A binary frame as `parseFrame` reads it, with a face at rest. */
function frameBytes(turn: number, index: number, timestamp: number, pcm: Uint8Array): ArrayBuffer {
  const bytes = new Uint8Array(HEADER + pcm.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 1);
  view.setUint8(1, 1);
  view.setUint32(4, turn, true);
  view.setUint32(8, index, true);
  view.setBigUint64(12, BigInt(timestamp), true);
  bytes.set(pcm, HEADER);
  return bytes.buffer;
}
