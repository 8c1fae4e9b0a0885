/** Icons as strokes on a 24 x 24 grid; they take the colour of the text. */

const PATHS = {
  microphone: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M8 8h8v8H8z",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.8v4.4M9 14.8v4.4",
  talk: "M5 5h14a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-8l-4.5 4v-4H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1z",
  close: "M6 6l12 12M18 6L6 18",
  sound: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a7.5 7.5 0 0 1 0 11",
  attention: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 8v4.5M12 16h.01",
  idle: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10z",
  listening: "M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM6.5 6.5a8 8 0 0 0 0 11M17.5 6.5a8 8 0 0 1 0 11",
  thinking: "M6 12h.01M12 12h.01M18 12h.01",
  speaking: "M6 10v4M10 6v12M14 8.5v7M18 10.5v3",
  play: "M8 5.5v13l11-6.5z",
  pause: "M8.5 6v12M15.5 6v12",
  back: "M17 6l-8 6 8 6zM6.5 6v12",
  forward: "M7 6l8 6-8 6zM17.5 6v12",
  file: "M12 16V4.5M7.5 9L12 4.5 16.5 9M5 15.5V19h14v-3.5",
  download: "M12 4v11.5M7.5 11l4.5 4.5 4.5-4.5M5 15.5V19h14v-3.5",
  reconnecting: "M19 12a7 7 0 1 1-2.2-5.1M17 3v4h-4",
} as const;

export type IconName = keyof typeof PATHS;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon", `icon-${name}`);
  for (const [index, part] of PATHS[name].split(/(?=M)/).entries()) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", part);
    (path as SVGPathElement).style.setProperty("--n", String(index));
    svg.append(path);
  }
  return svg;
}
