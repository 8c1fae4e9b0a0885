/** The token of a server that wants one: the site's own, or one that the server gives to a page that it allows. */

import { address, authorization } from "./server";

/** A token, or what gets one: it is called again when the server no longer takes the one before. */
export type TokenSource = string | (() => string | Promise<string>);

const REFUSED = "UNAUTHORIZED";
const NOT_ALLOWED =
  "The server wants a token and gives this page none: it has to allow the page (AUTH_ALLOWED_ORIGINS), or the page brings a token.";

/** There is none; the message says why. */
export class TokenError extends Error {
  override readonly name = "TokenError";
}

/** Has a WebSocket been closed because of its token? */
export function tokenRefused(code: number, reason: string): boolean {
  return code === 1008 && reason.startsWith(REFUSED);
}

/** Without a `source` the server is asked, as soon as it has refused to go without a token. */
export class Tokens {
  private token: string;
  private wanted: boolean;
  /** When half of the token's life is over, milliseconds since 1970. */
  private halfOver = Infinity;
  private asking: Promise<void> | null = null;

  constructor(
    private readonly server = "",
    private readonly source?: TokenSource,
  ) {
    this.token = typeof source === "string" ? source : "";
    this.wanted = typeof source === "function";
  }

  static of(server = "", source?: TokenSource | Tokens): Tokens {
    return source instanceof Tokens ? source : new Tokens(server, source);
  }

  /** What to send, empty where none was wanted so far; null when it has to be asked for. */
  get current(): string | null {
    return this.wanted && !this.token ? null : this.token;
  }

  /** The same, asked for. Rejects with a TokenError. */
  async get(): Promise<string> {
    if (this.current === null) await this.ask();
    return this.token;
  }

  /** The server did not take `token`. Can there be another? */
  refuse(token: string): boolean {
    if (typeof this.source === "string") return false;
    this.wanted = true;
    if (this.token === token) this.token = "";
    return true;
  }

  /** Called now and then: the next token is asked for while this one is good, and so is the same visitor's. */
  async keep(): Promise<void> {
    if (Date.now() >= this.halfOver) await this.ask().catch(() => undefined); // there is time to try again
  }

  /** `fetch` with the token; one that is refused is followed by another, once. */
  async fetch(url: URL | string, init: RequestInit = {}): Promise<Response> {
    const token = this.current ?? (await this.get());
    const response = await fetch(url, { ...init, headers: { ...init.headers, ...authorization(token) } });
    if (response.status !== 401 || !this.refuse(token)) return response;
    return fetch(url, { ...init, headers: { ...init.headers, ...authorization(await this.get()) } });
  }

  private ask(): Promise<void> {
    this.asking ??= this.another()
      .catch((error: Error) => {
        throw new TokenError(error.message);
      })
      .finally(() => (this.asking = null));
    return this.asking;
  }

  private async another(): Promise<void> {
    if (typeof this.source === "function") {
      this.token = await this.source();
      return;
    }
    const init = { method: "POST", headers: authorization(this.token) };
    const response = await fetch(address(this.server, "api/auth/token"), init).catch(() => null);
    if (!response) throw new Error(NOT_ALLOWED); // what is not allowed to read the answer does not see it either
    const said = (await response.json().catch(() => ({}))) as { token?: string; ttl?: number; message?: string };
    if (!response.ok || !said.token) throw new Error(said.message ?? NOT_ALLOWED);
    this.token = said.token;
    this.halfOver = Date.now() + (said.ttl ?? Infinity) * 500;
  }
}
