// Node finds modules by whole file names: the types of the package say them, too.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

for (const name of readdirSync("dist", { recursive: true })) {
  if (!name.endsWith(".d.ts")) continue;
  const types = readFileSync(`dist/${name}`, "utf8");
  writeFileSync(`dist/${name}`, types.replace(/((?:from |import\()"\.{1,2}\/[^"]+)(?<!\.js)"/g, '$1.js"'));
}
