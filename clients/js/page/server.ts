/** What the server tells about itself outside of the conversation. */

import { address } from "../src";

/** Where the server is, when it is not where the page is from; and whose face it shows by default. */
export const home = () => ({ server: document.body.dataset.apiBase ?? "", avatar: document.body.dataset.avatar ?? "" });

export interface Facts {
  version: string;
  agent: { name?: string; demo_brain?: boolean; model?: string; voice?: string; language?: string };
  avatar: string;
  avatars: string[];
}

/** What to say about the agent's language: a code such as `pl`, or `detect`; nothing when it does not tell. */
export function spoken(language: string | undefined): string {
  if (!language) return "";
  if (language === "detect") return "It answers in the language that it hears.";
  return `It hears and speaks ${new Intl.DisplayNames(["en"], { type: "language" }).of(language) ?? language}.`;
}

export interface AvatarEntry {
  name: string;
  title: string;
  glb: string;
  thumb: string;
  poster: string;
}

async function getJson(path: string): Promise<unknown> {
  const response = await fetch(address(home().server, path), { headers: { Accept: "application/json" } });
  return response.json();
}

export async function fetchFacts(): Promise<Facts> {
  const facts = (await getJson("./")) as Partial<Facts>;
  return { version: "", avatar: "mia", avatars: [], ...facts, agent: facts.agent ?? {} };
}

/** The sentences that say why the server cannot work, empty when it can. */
export async function fetchProblems(): Promise<string[]> {
  const health = (await getJson("health")) as { problems?: unknown[] };
  return (health.problems ?? []).map((problem) =>
    typeof problem === "string" ? problem : String((problem as { message?: string }).message ?? problem),
  );
}

export function avatarEntry(name: string): AvatarEntry {
  const folder = address(home().server, `avatars/${encodeURIComponent(name)}`).href;
  return {
    name,
    title: name.charAt(0).toUpperCase() + name.slice(1),
    glb: `${folder}/${encodeURIComponent(name)}.glb`,
    thumb: `${folder}/thumb.webp`,
    poster: `${folder}/poster.webp`,
  };
}
