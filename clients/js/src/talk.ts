/** A conversation with what it needs: a client, a player, and for the video view the moving picture. */

import { videoAddress } from "./api/session";
import { drawing } from "./avatar/drawing";
import { VisavisClient } from "./client";
import { Player, type Playback } from "./player";
import { Tokens, type TokenSource } from "./tokens";
import { LiveVideo } from "./video/live";
import { Pictures } from "./video/pictures";
import { VideoPlayer } from "./video/player";
import { ApiTransport } from "./video/socket";

/** Drawn here with WebGL, or by the server as video. */
export type View = "webgl" | "video";

export interface TalkOptions {
  server?: string;
  /** Without one the server is asked for it, if it wants one. */
  token?: TokenSource | Tokens;
  /** Whose face and voice it is; the server's own by default. */
  avatar?: string;
}

export interface Talk {
  readonly view: View;
  readonly client: VisavisClient;
  readonly player: Playback;
  /** The picture of the video view, yours to place; its class is `live`. */
  readonly picture: HTMLVideoElement | HTMLImageElement | null;
  /** Whose face the video view shows from now on, and whose voice it is. Rejects when the server cannot draw it. */
  cast(avatar: string): Promise<void>;
  close(): void;
}

/** The view that is asked for, or else video where WebGL is missing or drawn by the processor. */
export function chooseView(wanted: string | null | undefined): View {
  if (wanted === "webgl" || wanted === "video") return wanted;
  return drawing() === "hardware" ? "webgl" : "video";
}

export function openTalk(view: View, options: TalkOptions = {}): Talk {
  if (view === "video") return LiveVideo.supported() ? filmed(options) : pictured(options);
  const client = new VisavisClient(options);
  const player = new Player();
  client.attach(player);
  const cast = async (avatar: string) => client.cast(avatar);
  return { view, client, player, picture: null, cast, close: () => close(client, player) };
}

/** Sound and picture are one stream. */
function filmed({ server = "", token, avatar }: TalkOptions): Talk {
  const picture = document.createElement("video");
  const player = new VideoPlayer(picture);
  const tokens = Tokens.of(server, token);
  const transport = new ApiTransport({
    server, token: tokens, wish: { output: "weights", ...(avatar ? { avatar } : {}) },
    onSession: ({ session_id: id }) => player.live.open(videoAddress(server, id), tokens),
  });
  return follow(transport, player, picture);
}

/** Browsers without MediaSource: the sound as always, and pictures in step with it. */
function pictured({ server = "", token, avatar }: TalkOptions): Talk {
  const picture = document.createElement("img");
  const player = new Player();
  const pictures = new Pictures(picture, player);
  const transport = new ApiTransport({
    server, token, wish: { output: "video", ...(avatar ? { avatar } : {}) }, onPicture: (next) => pictures.add(next),
  });
  return follow(transport, player, picture, () => pictures.close());
}

function follow(
  transport: ApiTransport, player: Playback, picture: HTMLVideoElement | HTMLImageElement, stop = () => {},
): Talk {
  picture.className = "live";
  const client = new VisavisClient({ createSocket: transport.open, url: "api", token: transport.tokens });
  client.attach(player);
  const leave = () => void transport.end();
  window.addEventListener("pagehide", leave);
  return {
    view: "video", client, player, picture,
    cast: (avatar) => transport.cast(avatar),
    close: () => {
      window.removeEventListener("pagehide", leave);
      stop();
      close(client, player);
    },
  };
}

function close(client: VisavisClient, player: Playback): void {
  client.close();
  void player.close();
}
