/** A client of the api dialect, `WS /api/v1/sessions/{id}/ws`: pictures, sound and text as they come. */

import { toBase64 } from "../base64";
import { Emitter } from "../emitter";
import { socketAddress } from "../server";
import { tokenRefused, Tokens, type TokenSource } from "../tokens";

const CHUNK_MS = 250;
const RECORDED = "audio/webm;codecs=opus";

interface Stamped {
  session_id: string;
  /** Milliseconds, the server's clock. */
  timestamp: number;
}
interface OfTurn extends Stamped {
  turn_id: string;
}

/** The server's messages by type, and `connection`. */
export interface ApiEvents {
  /** `data` is a JPEG in base64; `weights` by ARKit name where the session has them. */
  avatar_frame: OfTurn & { frame_id: number; data?: string; weights?: Record<string, number> };
  /** `data` is PCM16 mono in base64, heard while the frame of the same number is seen. */
  audio_response: OfTurn & { frame_id: number; data: string; sample_rate: number };
  /** The reply so far; `is_final` is what was heard of it. */
  text_response: OfTurn & { data: string; is_final: boolean };
  /** What the user said, or seems to be saying. */
  transcript: Stamped & { data: string; is_final: boolean };
  state: Stamped & { state: "idle" | "listening" | "thinking" | "speaking" };
  interrupted: OfTurn & { offset_ms: number };
  action: Stamped & { name: string; arguments: Record<string, unknown>; call_id?: string };
  error: Stamped & { code: string; message: string };
  pong: Stamped;
  connection: { status: "open" } | { status: "closed"; code: number; reason: string };
}
type MessageType = Exclude<keyof ApiEvents, "connection">;

const TYPES = new Set<string>([
  "avatar_frame", "audio_response", "text_response", "transcript", "state", "interrupted", "action", "error", "pong",
] satisfies MessageType[]);

export interface AvatarChatOptions {
  /** That of `createSession`. */
  token?: TokenSource | Tokens;
  createSocket?: (url: string) => WebSocket;
  createRecorder?: (stream: MediaStream) => MediaRecorder;
}

export class AvatarChatClient extends Emitter<ApiEvents> {
  private readonly tokens: Tokens;
  private socket: WebSocket | null = null;
  private recorder: MediaRecorder | null = null;
  /** Pieces of a recording are turned into base64 one after the other. */
  private sending: Promise<void> = Promise.resolve();

  /** `baseUrl` is the server's, as http(s) or ws(s); the session is one of `createSession`. */
  constructor(
    readonly baseUrl: string,
    readonly sessionId: string,
    private readonly options: AvatarChatOptions = {},
  ) {
    super();
    this.tokens = Tokens.of(baseUrl, options.token ?? "");
  }

  get connected(): boolean {
    return this.socket?.readyState === 1;
  }

  /** Bytes that are not yet on their way. */
  get bufferedAmount(): number {
    return this.socket?.bufferedAmount ?? 0;
  }

  /** Resolves when the line stands; rejects when there is no such session, or no server. */
  async connect(): Promise<void> {
    const token = this.tokens.current ?? (await this.tokens.get());
    const path = `api/v1/sessions/${encodeURIComponent(this.sessionId)}/ws`;
    const url = socketAddress(this.baseUrl, path, token);
    const socket = (this.options.createSocket ?? ((to) => new WebSocket(to)))(url);
    this.socket = socket;
    socket.onmessage = (event: MessageEvent<string>) => this.received(event.data);
    return new Promise((resolve, reject) => {
      socket.onopen = () => {
        this.emit("connection", { status: "open" });
        resolve();
      };
      socket.onclose = ({ code, reason }) => {
        this.socket = null;
        this.release();
        if (tokenRefused(code, reason)) this.tokens.refuse(token); // the next connection has another
        this.emit("connection", { status: "closed", code, reason });
        reject(new Error(reason || `The connection to ${this.baseUrl} was closed (${code}).`));
      };
    });
  }

  sendText(text: string): void {
    this.send("text_message", { data: text });
  }

  /** PCM16 mono at the session's `input_sample_rate`. */
  sendAudio(samples: Int16Array): void {
    if (this.connected) this.socket!.send(samples as Int16Array<ArrayBuffer>);
  }

  /** A button is held (unless `handsFree`) while the user speaks: what is sent from now on ends with `endAudio` alone. */
  startAudio({ handsFree = true }: { handsFree?: boolean } = {}): void {
    this.send("start_audio", { hands_free: handsFree });
  }

  /** What was said is complete: answer now. */
  endAudio(): void {
    this.send("end_audio");
  }

  interrupt(): void {
    this.send("interrupt");
  }

  ping(): void {
    this.send("ping");
  }

  /** What came of an `action` with this `call_id`: any JSON value, or why there is none. */
  answerAction(callId: string, done: { result: unknown } | { error: string }): void {
    this.send("action_result", { call_id: callId, ...done });
  }

  /**
   * Record the microphone (or `stream`) and send it as it is recorded: WebM/Opus in pieces of 250 ms. Call it from
   * a click. Rejects when there is no microphone, or it may not be used.
   */
  async startAudioCapture(stream?: MediaStream): Promise<void> {
    this.release();
    const audio = { echoCancellation: true, noiseSuppression: true, channelCount: 1 };
    const heard = stream ?? (await navigator.mediaDevices.getUserMedia({ audio }));
    const create = this.options.createRecorder ?? ((from) => new MediaRecorder(from, { mimeType: RECORDED }));
    const recorder = create(heard);
    recorder.ondataavailable = ({ data }) => this.sendRecorded(data);
    recorder.onstop = () => {
      for (const track of stream ? [] : heard.getTracks()) track.stop();
    };
    recorder.start(CHUNK_MS);
    this.recorder = recorder;
  }

  /** Switch the microphone off; the last piece is sent, and then that it was the last. */
  async stopAudioCapture(): Promise<void> {
    const { recorder } = this;
    if (!recorder) return;
    this.recorder = null;
    const stop = recorder.onstop;
    await new Promise<void>((done) => {
      recorder.onstop = (event) => {
        stop?.call(recorder, event);
        done();
      };
      recorder.stop();
    });
    await this.sending;
    this.endAudio();
  }

  /** Leave; the session itself lives until it ends (`endSession`) or expires. */
  close(): void {
    this.release();
    this.socket?.close(1000);
  }

  private sendRecorded(piece: Blob): void {
    if (piece.size === 0) return;
    this.sending = this.sending.then(async () => {
      const bytes = new Uint8Array(await piece.arrayBuffer());
      this.send("audio_chunk", { data: toBase64(bytes) });
    });
  }

  private release(): void {
    if (this.recorder && this.recorder.state !== "inactive") this.recorder.stop();
    this.recorder = null;
  }

  private received(text: string): void {
    let message: { type?: unknown };
    try {
      message = JSON.parse(text) as typeof message;
    } catch {
      return;
    }
    if (typeof message?.type === "string" && TYPES.has(message.type)) {
      this.emit(message.type as MessageType, message as never);
    }
  }

  private send(type: string, fields: object = {}): void {
    if (!this.connected) return;
    this.socket!.send(JSON.stringify({ type, ...fields, session_id: this.sessionId, timestamp: Date.now() }));
  }
}
