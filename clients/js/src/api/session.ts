/** Sessions of the api dialect, `/api/v1/sessions`. */

import { address } from "../server";
import { Tokens, type TokenSource } from "../tokens";

export type SessionOutput = "video" | "weights" | "both";

export interface SessionWish {
  avatar?: string;
  voice?: string;
  language?: string;
  /** What the frames on the WebSocket carry; the live stream is there in any case. */
  output?: SessionOutput;
  instructions?: string;
  metadata?: Record<string, unknown>;
  /** Record it, where the server does; those who talk have agreed. */
  record?: boolean;
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
  /** Whether it is being recorded. */
  recorded?: boolean;
}

/** The server's `{code, message}`. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
    this.name = "ApiError";
  }
}

const NOT_ALLOWED =
  "The server is there, but does not allow this page: its setting server.cors_origins (AUTH_ALLOWED_ORIGINS) has to name it.";

/** To a page that may not read an answer a browser tells nothing but that there is one. */
async function refusesPage(server: string): Promise<boolean> {
  const url = address(server, "health");
  if (url.origin === globalThis.location?.origin) return false;
  return fetch(url, { mode: "no-cors" }).then(() => true, () => false);
}

/**
 * Begin a session on `server` (its address; empty is where the page is from). It belongs to whose token this is: with
 * `new Tokens(server)` the server is asked for one, if it wants one. Throws ApiError.
 */
export async function createSession(
  server = "", wish: SessionWish = {}, token: TokenSource | Tokens = "",
): Promise<ApiSession> {
  const request = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  };
  try {
    return await sessionOf(await Tokens.of(server, token).fetch(address(server, "api/v1/sessions"), request));
  } catch (error) {
    if (error instanceof TypeError && (await refusesPage(server))) throw new ApiError(403, "FORBIDDEN", NOT_ALLOWED);
    throw error;
  }
}

async function sessionOf(response: Response): Promise<ApiSession> {
  if (response.ok) return (await response.json()) as ApiSession;
  const said = (await response.json().catch(() => ({}))) as { code?: string; message?: string };
  throw new ApiError(response.status, said.code ?? "FAILED", said.message ?? `The server answered ${response.status}.`);
}

/** Give a session another face, also where it is being watched; its voice follows. Throws ApiError. */
export async function recastSession(
  server: string, sessionId: string, avatar: string, token: TokenSource | Tokens = "",
): Promise<ApiSession> {
  const url = address(server, `api/v1/sessions/${encodeURIComponent(sessionId)}`);
  return sessionOf(await Tokens.of(server, token).fetch(url, {
    method: "PATCH",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ avatar }),
  }));
}

/** End a session; also as the page goes away. */
export async function endSession(server: string, sessionId: string, token: TokenSource | Tokens = ""): Promise<void> {
  const url = address(server, `api/v1/sessions/${encodeURIComponent(sessionId)}`);
  await Tokens.of(server, token).fetch(url, { method: "DELETE", keepalive: true }).catch(() => undefined);
}

/** The session as an endless WebM (VP8 and Opus). */
export function videoAddress(server: string, sessionId: string, token = ""): string {
  return address(server, `api/v1/sessions/${encodeURIComponent(sessionId)}/avatar`, token).href;
}
