/** The conversation's WebSocket: speaks `WS /ws`, comes back by itself, and feeds a player. */

import { Actions, type ActionHandler } from "./actions";
import { Emitter } from "./emitter";
import type { Playback } from "./player";
import { socketAddress } from "./server";
import { tokenRefused, Tokens, type TokenSource } from "./tokens";
import { parseFrame, parseMessage, type Config, type Frame, type ServerMessage } from "./protocol";

const PING_MS = 20_000;
const PONG_PATIENCE_MS = 10_000;
const SETTLED_MS = 5_000;
/** Close codes after which coming back is pointless: replaced by another connection, or refused. */
const FINAL_CODES = [1000, 1008];
const TRY_LATER = 1013;
/** Bytes in the socket's own buffer beyond which the microphone waits. */
const SOCKET_FULL = 64_000;
/** Chunks of the microphone kept while the socket is slow or away. */
const QUEUED_CHUNKS = 120;

export type ConnectionStatus = "connecting" | "open" | "reconnecting" | "closed";

export interface Connection {
  status: ConnectionStatus;
  /** Milliseconds until the next attempt. */
  retryInMs?: number;
  /** The close code and reason that led here. */
  code?: number;
  reason?: string;
  /** The server said that it is full. */
  full?: boolean;
}

/** The server's messages by type, and what the client itself has to tell. */
export type ClientEvents = { [M in ServerMessage as M["type"]]: M } & {
  frame: Frame;
  connection: Connection;
  /** A connection stands; `resumed` when the earlier conversation goes on. */
  session: { sessionId: string; resumed: boolean };
  /** From now on the conversation is recorded, or it is not. */
  recorded: boolean;
  /** Milliseconds there and back. */
  roundtrip: number;
  sent: { type: string };
};

export interface ClientOptions {
  /** Where the server is (`https://host/prefix/`); by default it is where the page is from. */
  server?: string;
  /** Goes to the server as `?token=`. Without one the server is asked for it, if it wants one. */
  token?: TokenSource | Tokens;
  /** Whose face it is, so that a voice that can be anybody's fits it. */
  avatar?: string;
  /** The socket's own address instead of `ws` on `server`. */
  url?: string;
  userId?: string;
  createSocket?: (url: string) => WebSocket;
  /** 0..1; spreads reconnections. */
  random?: () => number;
}

/** Milliseconds before reconnection number `attempt` (from 0): doubling up to 15 s, half of it random. */
export function backoff(attempt: number, random: number): number {
  return Math.min(15_000, 500 * 2 ** attempt) * (0.5 + 0.5 * random);
}

export class VisavisClient extends Emitter<ClientEvents> {
  connection: Connection = { status: "closed" };
  sessionId = "";
  roundTripMs = 0;
  /** Microphone chunks that had to be thrown away because the socket was slow. */
  droppedChunks = 0;
  inputSampleRate = 16000;
  /** The server records the conversation: tell those who talk. */
  recorded = false;
  /** Whose voice it is; the voice of the server's own avatar by default. */
  private avatar: string | undefined;
  private socket: WebSocket | null = null;
  /** The attempt at a connection for which a token is asked. */
  private dialling: object | null = null;
  private readonly tokens: Tokens;
  /** The token of this connection, and whether the one before was refused. */
  private shown = "";
  private refused = false;
  /** Brings a dropped connection back. */
  private token: string | undefined;
  private attempt = 0;
  private configured = false;
  private recordable = true;
  /** Asked to resume: the config of the new conversation, used only if the old one is over. */
  private resuming: { instead: Config | null } | null = null;
  private pingedAt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private pinger: ReturnType<typeof setInterval> | undefined;
  private pongDue: ReturnType<typeof setTimeout> | undefined;
  private openedAt = 0;
  private readonly texts: string[] = [];
  private chunks: Int16Array[] = [];
  private microphoneRate: number | null = null;
  private handsFree = true;
  private player: Playback | null = null;
  private readonly actions = new Actions();
  private readonly userId: string;

  constructor(private readonly options: ClientOptions = {}) {
    super();
    this.userId = options.userId ?? `web_${Math.random().toString(36).slice(2, 10)}`;
    this.tokens = Tokens.of(options.server, options.token);
    this.avatar = options.avatar;
  }

  connect(): void {
    if (this.socket || this.dialling) return;
    clearTimeout(this.retry);
    this.tell({ ...this.connection, status: this.sessionId ? "reconnecting" : "connecting", retryInMs: 0 });
    void this.dial((this.dialling = {}));
  }

  private async dial(attempt: object): Promise<void> {
    try {
      this.shown = this.tokens.current ?? (await this.tokens.get());
    } catch (error) {
      if (this.dialling === attempt) this.withoutToken((error as Error).message);
      return;
    }
    if (this.dialling !== attempt) return;
    this.dialling = null;
    const url = this.options.url ?? socketAddress(this.options.server ?? "", "ws", this.shown);
    const socket = (this.options.createSocket ?? ((address) => new WebSocket(address)))(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.opened();
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.received(event.data);
    socket.onclose = (event) => this.closed(event.code, event.reason);
    this.socket = socket;
    this.configured = false;
  }

  /** Hang up for good. */
  close(): void {
    this.detach()?.close(1000);
    clearTimeout(this.retry);
    this.tell({ status: "closed", code: 1000 });
  }

  /** Leave this conversation, and begin another. */
  restart(): void {
    this.detach()?.close(1000);
    this.token = undefined;
    this.sessionId = "";
    this.player?.reset();
    this.connect();
  }

  /** Play what arrives: frames, words, interruptions; and report to the server what was heard. */
  attach(player: Playback): void {
    this.player = player;
    player.on("progress", ({ turn, frame }) => this.sendPlayback(turn.id, frame));
    player.on("end", ({ turn, interrupted, frame }) => {
      if (!interrupted) this.sendPlayback(turn.id, frame);
    });
  }

  /**
   * Do `name` whenever the agent asks for it. What the handler returns, or its promise resolves to, is the
   * action's result (any JSON value); what it throws is why there is none. Returns the function that takes
   * the handler off again.
   */
  onAction(name: string, handler: ActionHandler): () => void {
    return this.actions.on(name, handler);
  }

  /** Is there a handler for this action? */
  handles(name: string): boolean {
    return this.actions.has(name);
  }

  /** Say something in writing; it interrupts. Without a connection it is said as soon as there is one. */
  sendText(text: string): void {
    this.player?.interrupt();
    if (!this.configured) this.texts.push(text);
    else this.sendJson({ type: "text", data: text, userId: this.userId, timestamp: Date.now() });
  }

  /**
   * The microphone is on; `rate` in Hz. When it is not `handsFree`, a button is held while the user speaks: only
   * `endAudio` ends the turn, however long they pause. Said again, it changes that while the microphone is on.
   */
  startAudio(rate: number, { handsFree = true }: { handsFree?: boolean } = {}): void {
    if (this.microphoneRate === null) this.chunks = [];
    this.microphoneRate = rate;
    this.handsFree = handsFree;
    if (this.configured) this.announceAudio();
  }

  /** PCM16 mono from the microphone. */
  sendAudio(samples: Int16Array): void {
    if (this.microphoneRate === null) return;
    this.chunks.push(samples);
    if (this.chunks.length > QUEUED_CHUNKS) {
      this.chunks.shift();
      this.droppedChunks++;
    }
    this.flushAudio();
  }

  /** The microphone is off: what was said is complete. */
  endAudio(): void {
    if (this.microphoneRate === null) return;
    this.flushAudio(true);
    this.microphoneRate = null;
    if (this.configured) this.sendJson({ type: "audio_stream_end" });
  }

  /** Stop the avatar, here and there. */
  interrupt(): void {
    this.player?.interrupt();
    if (this.configured) this.sendJson({ type: "interrupt" });
  }

  /** The last frame of a turn that became audible. */
  sendPlayback(turnId: string, frameIndex: number): void {
    if (this.configured) this.sendJson({ type: "playback", turnId, frameIndex });
  }

  /** Have the voice of an avatar, from the next reply on. */
  cast(avatar: string): void {
    if (avatar === this.avatar) return;
    this.avatar = avatar;
    this.greet();
  }

  /** Refuse to be recorded: what was recorded of this conversation is deleted, and the next ones are not either. */
  refuseRecording(): void {
    this.recordable = false;
    this.greet();
    this.tellRecorded(false);
  }

  private opened(): void {
    this.openedAt = Date.now();
    this.resuming = this.token === undefined ? null : { instead: null };
    this.greet(this.token);
  }

  private greet(resume?: string): void {
    const { avatar, recordable } = this;
    const hello = { type: "hello", encoding: "binary", weights: "array", avatar, resume };
    this.sendJson(recordable ? hello : { ...hello, recording: false });
  }

  private tellRecorded(recorded: boolean): void {
    if (recorded === this.recorded) return;
    this.recorded = recorded;
    this.emit("recorded", recorded);
  }

  private received(data: string | ArrayBuffer): void {
    if (typeof data !== "string") {
      const frame = parseFrame(data);
      if (frame) this.player?.frame(frame);
      if (frame) this.emit("frame", frame);
      return;
    }
    const message = parseMessage(data);
    if (!message) return;
    this.act(message);
    this.emit(message.type, message as never);
  }

  private act(message: ServerMessage): void {
    switch (message.type) {
      case "config":
        return this.configure(message);
      case "pong":
        return this.ponged();
      case "error":
        return message.code === "RESUME_EXPIRED" ? this.resumeFailed() : undefined;
      case "audio_start":
        this.player?.begin(message.turn ?? 0, message.turnId);
        return;
      case "transcript_delta":
        if (message.role !== "assistant" || message.startOffset === undefined) return;
        this.player?.word(message.turnId, {
          text: message.text,
          start: message.startOffset,
          end: message.endOffset ?? message.startOffset,
        });
        return;
      case "audio_end":
        return this.player?.finish(message.turnId);
      case "interrupt":
        return this.player?.interrupt(message.turnId);
      case "barge_in":
        return this.player?.barge(message.turnId, message.phase);
      case "trigger_action":
        void this.actions.perform(message).then((result) => result && this.sendJson(result));
        return;
    }
  }

  /** Each connection begins as a new conversation; one that is resumed is told by a second config. */
  private configure(config: Config): void {
    if (this.resuming && !config.resumed) {
      this.resuming.instead = config;
      return;
    }
    this.resuming = null;
    const resumed = config.resumed === true;
    this.token = config.resume ?? this.token;
    this.sessionId = config.sessionId ?? "";
    this.inputSampleRate = config.audio.inputSampleRate;
    this.configured = true;
    if (!resumed) this.player?.reset();
    this.player?.configure(config.audio.outputSampleRate, config.fps ?? 30);
    this.begin();
    this.emit("session", { sessionId: this.sessionId, resumed });
    this.tellRecorded(this.recordable && config.recorded === true);
  }

  private resumeFailed(): void {
    const config = this.resuming?.instead;
    this.resuming = null;
    if (config) this.configure(config);
  }

  private begin(): void {
    this.tell({ status: "open" });
    this.ping();
    this.pinger = setInterval(() => this.ping(), PING_MS);
    if (this.microphoneRate !== null) this.announceAudio();
    for (const text of this.texts.splice(0)) this.sendText(text);
  }

  private closed(code: number, reason: string): void {
    this.detach();
    if (this.openedAt && Date.now() - this.openedAt > SETTLED_MS) {
      this.attempt = 0;
      this.refused = false;
    }
    this.openedAt = 0;
    if (tokenRefused(code, reason) && !this.refused && this.tokens.refuse(this.shown)) {
      this.refused = true;
      return this.connect();
    }
    if (FINAL_CODES.includes(code)) return this.finished(code, reason);
    const full = code === TRY_LATER;
    const delay = backoff(full ? Math.max(this.attempt, 3) : this.attempt, (this.options.random ?? Math.random)());
    this.attempt++;
    this.retry = setTimeout(() => this.connect(), delay);
    this.tell({ status: "reconnecting", retryInMs: delay, code, reason, full });
  }

  /** The server may be away; one that stands and gives no token will not give one later either. */
  private withoutToken(reason: string): void {
    if (this.refused || !this.sessionId) this.finished(1008, reason);
    else this.closed(1006, reason);
  }

  private finished(code: number, reason: string): void {
    this.detach();
    this.refused = false;
    this.tell({ status: "closed", code, reason });
  }

  private detach(): WebSocket | null {
    const socket = this.socket;
    this.dialling = null;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    this.socket = null;
    this.configured = false;
    clearInterval(this.pinger);
    clearTimeout(this.pongDue);
    return socket;
  }

  private ping(): void {
    void this.tokens.keep();
    this.pingedAt = Date.now();
    this.sendJson({ type: "ping", timestamp: this.pingedAt });
    clearTimeout(this.pongDue);
    this.pongDue = setTimeout(() => {
      this.socket?.close();
      this.closed(1006, "The server does not answer.");
    }, PONG_PATIENCE_MS);
  }

  private ponged(): void {
    clearTimeout(this.pongDue);
    this.roundTripMs = Math.max(0, Date.now() - this.pingedAt);
    this.emit("roundtrip", this.roundTripMs);
  }

  private announceAudio(): void {
    this.sendJson({
      type: "audio_stream_start", userId: this.userId, sampleRate: this.microphoneRate, format: "audio/pcm16",
      ...(this.handsFree ? {} : { handsFree: false }),
    });
  }

  private flushAudio(all = false): void {
    const socket = this.socket;
    if (!socket || !this.configured) return;
    while (this.chunks.length > 0 && (all || socket.bufferedAmount < SOCKET_FULL)) {
      socket.send(this.chunks.shift()! as Int16Array<ArrayBuffer>);
    }
  }

  private sendJson(message: { type: string; [key: string]: unknown }): void {
    if (this.socket?.readyState !== 1) return;
    this.socket.send(JSON.stringify(message));
    this.emit("sent", message);
  }

  private tell(connection: Connection): void {
    this.connection = connection;
    this.emit("connection", connection);
  }
}
