/** Sessions of the api dialect, `/api/v1/sessions`. */

import { address, authorization } from "../server";

export type SessionOutput = "video" | "weights" | "both";

export interface SessionWish {
  avatar?: string;
  voice?: string;
  language?: string;
  /** What the frames on the WebSocket carry; the live stream is there in any case. */
  output?: SessionOutput;
  instructions?: string;
  metadata?: Record<string, unknown>;
}

export interface ApiSession {
  session_id: string;
  created_at: string;
  expires_at: string;
  ws_url: string;
  avatar: string;
  output: SessionOutput;
  fps: number;
  audio: { input_sample_rate: number; output_sample_rate: number; format: string };
  metadata: Record<string, unknown>;
}

/** The server's `{code, message}`. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
    this.name = "ApiError";
  }
}

/** Begin a session on `server` (its address; empty is where the page is from). Throws ApiError. */
export async function createSession(server = "", wish: SessionWish = {}, token = ""): Promise<ApiSession> {
  const response = await fetch(address(server, "api/v1/sessions"), {
    method: "POST",
    headers: { "Content-Type": "application/json", ...authorization(token) },
    body: JSON.stringify(wish),
  });
  if (response.ok) return (await response.json()) as ApiSession;
  const said = (await response.json().catch(() => ({}))) as { code?: string; message?: string };
  throw new ApiError(response.status, said.code ?? "FAILED", said.message ?? `The server answered ${response.status}.`);
}

/** End a session; also as the page goes away. */
export async function endSession(server: string, sessionId: string, token = ""): Promise<void> {
  const url = address(server, `api/v1/sessions/${encodeURIComponent(sessionId)}`);
  await fetch(url, { method: "DELETE", headers: authorization(token), keepalive: true }).catch(() => undefined);
}

/** The session as an endless WebM (VP8 and Opus). */
export function videoAddress(server: string, sessionId: string, token = ""): string {
  return address(server, `api/v1/sessions/${encodeURIComponent(sessionId)}/avatar`, token).href;
}
