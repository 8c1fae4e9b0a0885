/**
 * What others build upon: `--mode package` makes the npm package (`dist/`), `--mode element` the one file that the
 * server offers as `static/visavis-avatar.js`.
 */

import { build, defineConfig, type Plugin } from "vite";

const WORKLET = /worklets\/\w+\.ts\?worker&url$/;

/** A worklet as part of the code that uses it: no bundler and no other origin has to find a second file. */
function inlineWorklets(): Plugin {
  return {
    name: "inline-worklets",
    enforce: "pre",
    async resolveId(source, importer) {
      if (!WORKLET.test(source)) return null;
      const found = await this.resolve(source.replace("?worker&url", ""), importer);
      return found && { id: `\0${found.id}?inline-worklet` };
    },
    async load(id) {
      const match = /^\0(.*)\?inline-worklet$/.exec(id);
      if (!match) return null;
      const built = await build({
        configFile: false, logLevel: "silent",
        build: { write: false, target: "es2022", lib: { entry: match[1]!, formats: ["iife"], name: "worklet" } },
      });
      const { output } = (Array.isArray(built) ? built[0]! : built) as { output: { code?: string }[] };
      return `export default ${JSON.stringify(`data:text/javascript,${encodeURIComponent(output[0]!.code!)}`)};`;
    },
  };
}

export default defineConfig(({ mode }) => {
  const element = mode === "element";
  const entry: Record<string, string> = element ? { "visavis-avatar": "src/element/standalone.ts" } : {
    index: "src/index.ts", avatar: "src/avatar/index.ts", element: "src/element/index.ts", react: "src/react.ts",
  };
  return {
    plugins: [inlineWorklets()],
    publicDir: false,
    build: {
      target: "es2022",
      emptyOutDir: !element,
      minify: element,
      outDir: element ? "../../src/visavis/server/static" : "dist",
      chunkSizeWarningLimit: 800,
      lib: { formats: ["es"], entry },
      rolldownOptions: {
        external: element ? [] : [/^three($|\/)/, /^react($|\/)/],
        output: element ? { codeSplitting: false, minify: true } : { chunkFileNames: "[name]-[hash].js" },
      },
    },
  };
});
