import { defineConfig } from "vite";

const server = "http://127.0.0.1:8080";

/**
 * The page is built into the Python package and committed there, so that running it needs no Node. The server
 * has the page at its root and the assets under `static/`; every address is relative, for path prefixes.
 */
export default defineConfig({
  base: "./",
  build: {
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
      "/avatars": server,
      "/health": server,
    },
  },
});
