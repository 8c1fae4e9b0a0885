/** `<AvatarChat>`: the element as a React component (18 or 19). */

import {
  createElement, forwardRef, useCallback, useEffect, useImperativeHandle, useRef, type CSSProperties, type ReactNode,
} from "react";
import type { AvatarEvents, VisavisAvatar } from "./element/element";
import type { TokenSource } from "./tokens";

type Handler<K extends keyof AvatarEvents> = (detail: AvatarEvents[K]) => void;

export interface AvatarChatProps {
  /** The server's address; by default it is where the page is from. */
  server?: string;
  avatar?: string;
  /** The site's token, or what gets one; without it the server is asked, if it wants one. */
  token?: TokenSource;
  /** The microphone's button has to be held. */
  hold?: boolean;
  /** Video from the server: `true` always, `"never"` not even without WebGL. */
  video?: boolean | "never";
  muted?: boolean;
  /** Show the text field, the microphone and the stop button; the default. */
  controls?: boolean;
  className?: string;
  style?: CSSProperties;
  children?: ReactNode;
  onConnection?: Handler<"connection">;
  onState?: Handler<"state">;
  onTranscript?: Handler<"transcript">;
  onTurnStart?: Handler<"turnstart">;
  onTurnEnd?: Handler<"turnend">;
  onAction?: Handler<"action">;
  onProblem?: Handler<"problem">;
}

/** Its `ref` is the element itself: `say`, `listen`, `interrupt`, `client`. */
export const AvatarChat = forwardRef<VisavisAvatar, AvatarChatProps>(function AvatarChat(props, ref) {
  const { server, avatar, token, video, muted = false, controls = true, hold, className, style, children } = props;
  const element = useRef<VisavisAvatar | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const asks = typeof token === "function";
  // Before the element begins, and once: a new function at each rendering is not another token.
  const placed = useCallback((node: VisavisAvatar | null) => {
    element.current = node;
    const newest = () => (latest.current.token as () => string | Promise<string>)();
    if (node && asks) Object.assign(node, { token: newest });
  }, [asks]);
  useImperativeHandle(ref, () => element.current!, []);

  useEffect(() => {
    // Only in browsers: what renders on a server knows no elements.
    void import("./element/element").then(({ define }) => define());
    const tell = <K extends keyof AvatarEvents>(type: K, handler: () => Handler<K> | undefined) => {
      const listener = (event: Event) => handler()?.((event as CustomEvent<AvatarEvents[K]>).detail);
      element.current?.addEventListener(type, listener);
      return () => element.current?.removeEventListener(type, listener);
    };
    const off = [
      tell("connection", () => latest.current.onConnection),
      tell("state", () => latest.current.onState),
      tell("transcript", () => latest.current.onTranscript),
      tell("turnstart", () => latest.current.onTurnStart),
      tell("turnend", () => latest.current.onTurnEnd),
      tell("action", () => latest.current.onAction),
      tell("problem", () => latest.current.onProblem),
    ];
    return () => off.forEach((stop) => stop());
  }, []);

  const flag = (on: boolean | undefined) => (on ? "" : undefined);
  return createElement("visavis-avatar", {
    ref: placed, server, avatar, class: className, style, muted: flag(muted), controls: flag(controls), hold: flag(hold),
    ...(asks ? {} : { token }), video: video === "never" ? "never" : flag(video),
  }, children);
});
