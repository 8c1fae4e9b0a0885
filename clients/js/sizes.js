/** Prints the sizes of what is built, as a table for the README: kilobytes, and gzipped. */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const PARTS = [
  ["`visavis`: client, player, microphone, video", "dist/index.js"],
  ["`visavis/avatar`: the head, without three.js", "dist/avatar.js"],
  ["`visavis/element`, without the head and three.js", "dist/element.js"],
  ["`visavis/react`, without what it loads later", "dist/react.js"],
  ["`static/visavis-avatar.js`: everything in one file", "../../src/visavis/server/static/visavis-avatar.js"],
];

/** A module and all that it imports at once, from this package. */
function closure(path, found = new Map()) {
  if (found.has(path)) return found;
  const code = readFileSync(path);
  found.set(path, code);
  const imports = String(code).matchAll(/(?:^|\n)(?:import|export)[^"';]*?["'](\.\/[^"']+)["']/g);
  for (const [, other] of imports) closure(path.replace(/[^/]+$/, other.slice(2)), found);
  return found;
}

const kilobytes = (bytes) => `${Math.round(bytes / 1000)} kB`;
console.log("| what | size | gzip |\n|---|---:|---:|");
for (const [name, path] of PARTS) {
  const all = Buffer.concat([...closure(path).values()]);
  console.log(`| ${name} | ${kilobytes(all.length)} | ${kilobytes(gzipSync(all).length)} |`);
}
