import { defineConfig } from "vite";

/** Everybody who imports React, also the package, gets the one of this folder. */
export default defineConfig({ resolve: { dedupe: ["react", "react-dom"] } });
