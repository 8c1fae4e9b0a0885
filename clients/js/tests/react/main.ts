/** A tiny app that uses the package as it is published; `?server=` says where the server is. */

import { createElement, StrictMode, useRef, useState, version } from "react";
import { createRoot } from "react-dom/client";
import type { VisavisAvatar } from "visavis/element";
import { AvatarChat } from "visavis/react";

const server = new URLSearchParams(location.search).get("server") ?? "";
const told: string[] = [];
let asked = 0;

function App() {
  const [said, setSaid] = useState<string[]>([]);
  const avatar = useRef<VisavisAvatar>(null);
  return createElement("main", {},
    createElement(AvatarChat, {
      ref: avatar, server, avatar: "kenji", video: "never", muted: true,
      token: () => `token${++asked}`, // another function at each rendering
      onTranscript: ({ role, text }) => setSaid((before) => [...before, `${role}: ${text}`]),
      onTurnEnd: ({ turnId }) => void told.push(turnId),
      onConnection: ({ status }) => void (window.visavis = {
        ready: status === "open", told, avatar: avatar.current, version, asked,
      }),
    }),
    createElement("button", { onClick: () => avatar.current?.say("Hello") }, "Greet"),
    createElement("ul", {}, ...said.map((line, key) => createElement("li", { key }, line))));
}

createRoot(document.querySelector("#root")!).render(createElement(StrictMode, {}, createElement(App)));
