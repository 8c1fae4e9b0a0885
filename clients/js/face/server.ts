/** What the page asks the server for. */

import { TokenError, Tokens } from "../src/tokens";
import type { Answer } from "./recording";

const tokens = new Tokens();

export interface Offer {
  engine: string;
  engines: string[];
  maxBytes: number;
  maxSeconds: number;
  /** The name of a file that the server was started with. */
  recording: string | null;
}

/** What is animated: a file of this computer, or the one that the server was started with. */
export interface Source {
  name: string;
  file: File | null;
}

export interface Wish {
  engine: string;
  fps: number;
}

/** A failure with a sentence for people. */
export class Refusal extends Error {}

export async function fetchOffer(): Promise<Offer> {
  return (await ask("api/animate", {})).json() as Promise<Offer>;
}

export async function animate(source: Source, wish: Wish, signal: AbortSignal): Promise<Answer> {
  return (await post(source, wish, {}, signal)).json() as Promise<Answer>;
}

/** The face as a file of one of the server's formats; `avatar` is the head in a .glb. */
export async function exported(source: Source, wish: Wish, format: string, avatar: string): Promise<Blob> {
  return (await post(source, wish, { format, avatar })).blob();
}

function post(source: Source, wish: Wish, more: Record<string, string>, signal?: AbortSignal): Promise<Response> {
  const query = new URLSearchParams({ engine: wish.engine, fps: String(wish.fps), name: source.name, ...more });
  if (!source.file) query.set("recording", "1");
  return ask(`api/animate?${query}`, { method: "POST", body: source.file, signal: signal ?? null });
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await tokens.fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (error instanceof TokenError) throw new Refusal(error.message);
    throw new Refusal("The server did not answer. See whether it is still running, and whether the file is still there.");
  }
  if (response.ok) return response;
  const said = (await response.json().catch(() => ({}))) as { message?: string };
  throw new Refusal(said.message ?? `The server answered with the error ${response.status}.`);
}

/** Why a file cannot be sent, or null. */
export function objection(file: { name: string; size: number }, offer: Offer): string | null {
  if (file.size === 0) return `${file.name} is empty.`;
  if (file.size <= offer.maxBytes) return null;
  const most = Math.round(offer.maxBytes / 2 ** 20);
  return `${file.name} has ${Math.ceil(file.size / 2 ** 20)} MB, and ${most} MB is the most that can be sent. Send its sound alone, or use the command “visavis animate”.`;
}
