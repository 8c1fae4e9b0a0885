/** Where a server's parts are, given where it is: `https://host/prefix/`, `ws://host`, or the page's own place. */

/** The address of `path` on the server; a `server` that is empty is beside the page. */
export function address(server: string, path: string, token = ""): URL {
  const base = new URL(server || ".", globalThis.document?.baseURI);
  base.protocol = base.protocol.replace("ws", "http");
  if (server && !base.pathname.endsWith("/")) base.pathname += "/";
  const url = new URL(path, base);
  if (token) url.searchParams.set("token", token);
  return url;
}

/** The same for a WebSocket. Browsers let nobody set its headers, so a token is in its query. */
export function socketAddress(server: string, path: string, token = ""): string {
  const url = address(server, path, token);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  return url.href;
}

export function authorization(token: string): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}` } : {};
}
