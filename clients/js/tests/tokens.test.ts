import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { VisavisClient, type Connection } from "../src/client";
import { createSession } from "../src/api/session";
import { TokenError, Tokens, type TokenSource } from "../src/tokens";
import { ApiTransport } from "../src/video/socket";

const SERVER = "https://talk.example.org/face";
const NO_TOKEN = "UNAUTHORIZED: A token is needed: POST /api/auth/token or /auth/token.";
const FORBIDDEN = "This page may not have a token: it is not an allowed origin.";

/** What was asked for, as `METHOD path authorization`. */
let asked: string[];
/** Answers of `POST api/auth/token`, then of everything else. */
let tokens: Response[];
let others: Response[];

const json = (body: object, status = 200) => new Response(JSON.stringify(body), { status });
const given = (token: string) => json({ token, ttl: 100, origin: "https://site.example" });

beforeEach(() => {
  vi.useFakeTimers();
  [asked, tokens, others] = [[], [], []];
  vi.stubGlobal("fetch", async (url: URL, { method = "GET", headers }: RequestInit = {}) => {
    const { Authorization = "" } = (headers ?? {}) as Record<string, string>;
    asked.push(`${method} ${url.pathname} ${Authorization}`.trim());
    const answer = (url.pathname.endsWith("/api/auth/token") ? tokens : others).shift();
    if (!answer) throw new TypeError("Failed to fetch");
    return answer;
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a server's token", () => {
  it("is not asked for until the server refuses to go without", async () => {
    const own = new Tokens(SERVER);
    expect([own.current, await own.get()]).toEqual(["", ""]);
    expect(own.refuse("")).toBe(true);
    expect(own.current).toBeNull();
    tokens = [given("one")];
    expect(await Promise.all([own.get(), own.get()])).toEqual(["one", "one"]);
    expect(asked).toEqual(["POST /face/api/auth/token"]);
  });

  it("is another one after it was refused, unless somebody has got it already", async () => {
    const own = new Tokens(SERVER);
    own.refuse("");
    tokens = [given("one"), given("two")];
    await own.get();
    own.refuse("");
    expect(own.current).toBe("one");
    own.refuse("one");
    expect(await own.get()).toBe("two");
    expect(asked.at(-1)).toBe("POST /face/api/auth/token");
  });

  it("is renewed for the same visitor when half of its life is over, and again when that failed", async () => {
    const own = new Tokens(SERVER);
    own.refuse("");
    tokens = [given("one")];
    await own.get();
    vi.advanceTimersByTime(49_000);
    await own.keep();
    expect(asked).toHaveLength(1);
    vi.advanceTimersByTime(1000);
    await own.keep();
    expect([asked.length, own.current]).toEqual([2, "one"]);
    tokens = [given("two")];
    await own.keep();
    expect(asked.at(-1)).toBe("POST /face/api/auth/token Bearer one");
    expect(own.current).toBe("two");
  });

  it("may be refused to a page, which is told why", async () => {
    const own = new Tokens(SERVER);
    own.refuse("");
    tokens = [json({ code: "FORBIDDEN", message: FORBIDDEN }, 403)];
    await expect(own.get()).rejects.toThrow(new TokenError(FORBIDDEN));
    await expect(own.get(), "another origin sees no answer").rejects.toThrow(/AUTH_ALLOWED_ORIGINS/);
  });
});

describe("a site's token", () => {
  it("is used as it is, and no other is asked for", async () => {
    const mine = new Tokens(SERVER, "mine");
    expect([mine.current, mine.refuse("mine"), mine.current]).toEqual(["mine", false, "mine"]);
    others = [json({}, 401)];
    expect((await mine.fetch(new URL("face", SERVER))).status).toBe(401);
    expect(asked).toEqual(["GET /face Bearer mine"]);
  });

  it("is got from the site, and again after it was refused", async () => {
    const names = ["one", "two"];
    const mine = new Tokens(SERVER, async () => names.shift()!);
    expect(mine.current).toBeNull();
    expect([await mine.get(), await mine.get()]).toEqual(["one", "one"]);
    others = [json({}, 401), json({ done: true })];
    expect(await (await mine.fetch(new URL("face", SERVER))).json()).toEqual({ done: true });
    expect(asked).toEqual(["GET /face Bearer one", "GET /face Bearer two"]);
  });

  it("goes with every call and keeps its headers", async () => {
    others = [json({ session_id: "abc" }, 201)];
    await createSession(SERVER, {}, async () => "mine");
    expect(asked).toEqual(["POST /face/api/v1/sessions Bearer mine"]);
  });
});

describe("VisavisClient", () => {
  interface Line {
    url: URL;
    onopen(): void;
    onmessage(event: { data: string }): void;
    onclose(event: { code: number; reason: string }): void;
    readyState: number;
  }
  let lines: Line[];
  let states: Connection[];
  let client: VisavisClient;

  function begin(token?: TokenSource): void {
    [lines, states] = [[], []];
    client = new VisavisClient({
      server: SERVER, token, random: () => 1,
      createSocket: (url) => {
        lines.push({ url: new URL(url), readyState: 0, send() {}, close() {} } as unknown as Line);
        return lines.at(-1) as unknown as WebSocket;
      },
    });
    client.on("connection", (state) => states.push(state));
    client.connect();
  }
  /** As the server refuses: it accepts, then closes. */
  async function refuse(reason = NO_TOKEN): Promise<void> {
    Object.assign(lines.at(-1)!, { readyState: 1 });
    lines.at(-1)!.onopen();
    lines.at(-1)!.onclose({ code: 1008, reason });
    await vi.advanceTimersByTimeAsync(0);
  }
  const shown = () => lines.map(({ url }) => url.searchParams.get("token"));
  function accept(): void {
    Object.assign(lines.at(-1)!, { readyState: 1 });
    lines.at(-1)!.onopen();
    const audio = { inputSampleRate: 16000, outputSampleRate: 24000 };
    lines.at(-1)!.onmessage({ data: JSON.stringify({ type: "config", sessionId: "a", resume: "r", audio }) });
  }

  it("asks for a token when it is refused, and connects with it", async () => {
    begin();
    tokens = [given("one")];
    await refuse();
    expect(shown()).toEqual([null, "one"]);
    accept();
    expect(states.at(-1)!.status).toBe("open");
  });

  it("tries once, then says why it cannot", async () => {
    begin();
    tokens = [given("one"), given("two")];
    await refuse();
    await refuse("UNAUTHORIZED: The token is for somebody else; get a new one.");
    expect(shown()).toEqual([null, "one"]);
    expect(states.at(-1)).toMatchObject({ status: "closed", reason: expect.stringContaining("somebody else") });
    client.connect(); // somebody presses the button
    await refuse();
    expect(shown()).toEqual([null, "one", "one", "two"]);
  });

  it("says why it gets no token", async () => {
    begin();
    tokens = [json({ message: FORBIDDEN }, 403)];
    await refuse();
    expect(states.at(-1)).toEqual({ status: "closed", code: 1008, reason: FORBIDDEN });
    expect(lines).toHaveLength(1);
  });

  it("gets another when the token has run out, and tries again when the server is away", async () => {
    begin();
    tokens = [given("one")];
    await refuse();
    accept();
    await vi.advanceTimersByTimeAsync(6000);
    lines.at(-1)!.onclose({ code: 1006, reason: "" });
    await vi.advanceTimersByTimeAsync(1000);
    tokens = [given("two")];
    await refuse("UNAUTHORIZED: The token has expired; get a new one.");
    expect(shown()).toEqual([null, "one", "one", "two"]);
  });

  it("renews it while it is connected", async () => {
    begin();
    tokens = [given("one"), given("two")];
    await refuse();
    accept();
    for (let ping = 0; ping < 3; ping++) {
      lines.at(-1)!.onmessage({ data: '{"type": "pong"}' });
      await vi.advanceTimersByTimeAsync(20_000);
    }
    expect(asked).toEqual(["POST /face/api/auth/token", "POST /face/api/auth/token Bearer one"]);
  });

  it("waits for the site's token, and not when it is hung up meanwhile", async () => {
    let give = (_: string) => {};
    begin(() => new Promise((done) => (give = done)));
    client.connect();
    expect(lines).toHaveLength(0);
    give("mine");
    await vi.advanceTimersByTimeAsync(0);
    expect(shown()).toEqual(["mine"]);

    begin(() => new Promise((done) => (give = done)));
    client.close();
    give("mine");
    await vi.advanceTimersByTimeAsync(0);
    expect(lines).toHaveLength(0);
  });

  it("tells what the site's function says, and does not ask the server instead", async () => {
    begin(() => Promise.reject(new Error("Please sign in.")));
    await vi.advanceTimersByTimeAsync(0);
    expect(states.at(-1)).toEqual({ status: "closed", code: 1008, reason: "Please sign in." });
    begin("mine");
    await refuse();
    expect(states.at(-1)).toMatchObject({ status: "closed", reason: NO_TOKEN });
    expect(asked).toEqual([]);
  });
});

describe("the video view", () => {
  function begin(transport: ApiTransport): Promise<Connection> {
    const client = new VisavisClient({ createSocket: transport.open, url: "api", token: transport.tokens, random: () => 1 });
    client.connect();
    return new Promise((done) => client.on("connection", (state) => state.status !== "connecting" && done(state)));
  }

  it("gets a token for its session, and its socket has it too", async () => {
    tokens = [given("one")];
    const audio = { input_sample_rate: 16000, output_sample_rate: 24000 };
    others = [json({}, 401), json({ session_id: "abc", fps: 25, audio }, 201)];
    const url = await new Promise<string>((opened) => void begin(new ApiTransport({
      server: SERVER, createSocket: (to) => (opened(to), {} as unknown as WebSocket),
    })));
    expect(url).toBe("wss://talk.example.org/face/api/v1/sessions/abc/ws?token=one");
  });

  it("keeps its session when the token has run out", async () => {
    const audio = { input_sample_rate: 16000, output_sample_rate: 24000 };
    others = [json({ session_id: "abc", fps: 25, audio }, 201)];
    const lines: { url: string; onclose(event: { code: number; reason: string }): void }[] = [];
    const names = ["one", "two"];
    void begin(new ApiTransport({
      server: SERVER, token: () => names.shift()!,
      createSocket: (url) => (lines.push({ url, onclose() {} }), lines.at(-1) as unknown as WebSocket),
    }));
    await vi.advanceTimersByTimeAsync(0);
    lines[0]!.onclose({ code: 1008, reason: "UNAUTHORIZED: The token has expired; get a new one." });
    await vi.advanceTimersByTimeAsync(0);
    expect(lines.map(({ url }) => url.slice(-13))).toEqual(["/ws?token=one", "/ws?token=two"]);
    expect(asked).toEqual(["POST /face/api/v1/sessions Bearer one"]);
  });

  it("says why there is no session", async () => {
    others = [json({}, 401)];
    tokens = [json({ message: FORBIDDEN }, 403)];
    expect(await begin(new ApiTransport({ server: SERVER }))).toMatchObject({ status: "closed", reason: FORBIDDEN });
    others = [json({ code: "FORBIDDEN", message: "The token is for another page." }, 403)];
    expect(await begin(new ApiTransport({ server: SERVER }))).toMatchObject({
      status: "closed", reason: "The token is for another page.",
    });
  });

  it("says that the server does not allow the page, where there is one", async () => {
    const nothing = undefined as unknown as Response; // the browser keeps it from the page
    others = [nothing, json({})];
    expect(await begin(new ApiTransport({ server: SERVER }))).toMatchObject({
      status: "closed", reason: expect.stringContaining("does not allow this page") as string,
    });
    expect(asked).toEqual(["POST /face/api/v1/sessions", "GET /face/health"]);
    others = [nothing, nothing];
    expect(await begin(new ApiTransport({ server: SERVER }))).toMatchObject({ status: "reconnecting" });
    asked = [];
    vi.stubGlobal("location", new URL(SERVER));
    others = [nothing];
    expect(await begin(new ApiTransport({ server: SERVER }))).toMatchObject({ status: "reconnecting" });
    expect(asked, "a page of the server's own is allowed").toEqual(["POST /face/api/v1/sessions"]);
  });

  it("shows another face in the same session", async () => {
    const audio = { input_sample_rate: 16000, output_sample_rate: 24000 };
    const transport = new ApiTransport({ server: SERVER, token: "mine" });
    await transport.cast("mia");
    others = [json({ session_id: "abc", avatar: "mia", fps: 25, audio }, 201), json({}), json({})];
    const creating = transport.begin();
    await transport.cast("pip");
    await creating;
    await vi.advanceTimersByTimeAsync(0);
    await transport.cast("pip");
    expect(asked).toHaveLength(2);
    await transport.cast("elena");
    expect(asked).toEqual([
      "POST /face/api/v1/sessions Bearer mine",
      "PATCH /face/api/v1/sessions/abc Bearer mine", "PATCH /face/api/v1/sessions/abc Bearer mine",
    ]);
    expect(transport.session!.avatar).toBe("elena");
  });
});
