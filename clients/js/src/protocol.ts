/** The messages of `WS /ws`: their types, and the parser that turns what arrives into one of them. */

import { WEIGHTS } from "./arkit";

export type AvatarState = "Idle" | "Listening" | "Thinking" | "Responding";

/** How far the user's voice has got into the avatar's speech: heard, going on, words heard, false alarm. */
export type BargeInPhase = "duck" | "deep" | "hold" | "resume";

export interface Config {
  type: "config";
  audio: { inputSampleRate: number; outputSampleRate: number };
  protocol?: string | number;
  sessionId?: string;
  fps?: number;
  blendshapes?: string[];
  /** Brings a dropped connection back to this conversation. */
  resume?: string;
  resumed?: boolean;
  /** The conversation is being recorded, unless the client refuses. */
  recorded?: boolean;
}

export interface StateMessage {
  type: "avatar_state";
  state: AvatarState;
}

export interface AudioStart {
  type: "audio_start";
  turnId: string;
  sessionId: string;
  sampleRate: number;
  turn?: number;
}

export interface AudioEnd {
  type: "audio_end";
  turnId: string;
}

/** One whole word of the reply; its times are milliseconds from the start of the turn's audio. */
export interface TranscriptDelta {
  type: "transcript_delta";
  role: "assistant" | "user";
  text: string;
  turnId: string;
  startOffset?: number;
  endOffset?: number;
}

export interface TranscriptDone {
  type: "transcript_done";
  role: "assistant" | "user";
  text: string;
  turnId: string;
  interrupted?: boolean;
  finalAudioDurationMs?: number;
}

export interface TranscriptPartial {
  type: "transcript_partial";
  role: "user";
  text: string;
}

export interface InterruptMessage {
  type: "interrupt";
  turnId: string;
  offsetMs: number;
}

export interface BargeIn {
  type: "barge_in";
  turnId: string;
  phase: BargeInPhase;
}

export interface TriggerAction {
  type: "trigger_action";
  function_name: string;
  arguments: Record<string, unknown>;
  /** The agent waits for an `action_result` with the same. */
  callId?: string;
}

export interface ServerError {
  type: "error";
  code: string;
  message: string;
}

export interface Pong {
  type: "pong";
  timestamp?: number;
}

export const LEDGER_STAGES = [
  "speechEnd", "endOfTurn", "transcript", "firstToken", "firstAudio", "firstFrame", "sent", "played",
] as const;
export type LedgerStage = (typeof LEDGER_STAGES)[number];

/** Milliseconds from the end of the user's speech to each stage that was reached. */
export type Ledger = Partial<Record<LedgerStage, number>>;

export type TurnMetrics = { type: "turn_metrics"; turnId: string } & Ledger;

/** Where a piece of knowledge is from; `url` is empty when it has no address. */
export interface Source {
  title: string;
  url: string;
  excerpt: string;
}

/** All that a turn draws on. */
export interface Sources {
  type: "sources";
  turnId: string;
  sources: Source[];
}

export type ServerMessage =
  | Config | StateMessage | AudioStart | AudioEnd | TranscriptDelta | TranscriptDone | TranscriptPartial
  | InterruptMessage | BargeIn | TriggerAction | ServerError | Pong | TurnMetrics
  | Sources;

/** 1/fps second of avatar: what is heard and what is seen. */
export interface Frame {
  type: "frame";
  turn: number;
  index: number;
  /** Server's clock, milliseconds. */
  timestamp: number;
  /** 52 values, 0..255 = 0..1. */
  weights: Uint8Array;
  /** PCM16 mono at the configured output rate. */
  pcm: Int16Array;
}

const TYPES = new Set<string>([
  "config", "avatar_state", "audio_start", "audio_end", "transcript_delta", "transcript_done",
  "transcript_partial", "interrupt", "barge_in", "trigger_action", "error", "pong", "turn_metrics",
  "sources",
]);

export const FRAME_HEADER = 20;

/** A JSON message, or null when it is not one that this client knows. */
export function parseMessage(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("type" in value)) return null;
  return typeof value.type === "string" && TYPES.has(value.type) ? (value as ServerMessage) : null;
}

/**
 * A binary frame, little-endian: u8 kind = 1, u8 version = 1, u16 flags, u32 turn, u32 frame index,
 * u64 timestamp in ms, 52 u8 weights, then PCM16. Null when it is anything else.
 */
export function parseFrame(data: ArrayBuffer): Frame | null {
  const start = FRAME_HEADER + WEIGHTS;
  if (data.byteLength < start || (data.byteLength - start) % 2 !== 0) return null;
  const view = new DataView(data);
  if (view.getUint8(0) !== 1 || view.getUint8(1) !== 1) return null;
  return {
    type: "frame",
    turn: view.getUint32(4, true),
    index: view.getUint32(8, true),
    timestamp: Number(view.getBigUint64(12, true)),
    weights: new Uint8Array(data, FRAME_HEADER, WEIGHTS),
    pcm: new Int16Array(data, start),
  };
}
