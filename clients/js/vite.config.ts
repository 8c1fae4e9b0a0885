import { defineConfig } from "vite";

const server = "http://127.0.0.1:8080";

/**
 * The pages are built into the Python package and committed there, so that running them needs no Node. The server
 * has them at `/` and `/face` and the assets under `static/`; every address is relative, for path prefixes.
 */
export default defineConfig({
  base: "./",
  build: {
    rolldownOptions: { input: ["index.html", "face.html"] },
    outDir: "../../src/visavis/server/static",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 800,
    modulePreload: { polyfill: false },
  },
  experimental: {
    renderBuiltUrl: (file, { hostType }) => (hostType === "html" ? `static/${file}` : { relative: true }),
  },
  worker: { format: "es" },
  server: {
    proxy: {
      "/ws": { target: server, ws: true },
      "/api": server,
      "/avatars": server,
      "/health": server,
    },
  },
});
