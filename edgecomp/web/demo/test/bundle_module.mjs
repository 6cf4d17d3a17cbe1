// Build everything that a generated folder holds into one module for node: node bundle_module.mjs FOLDER OUT

import { readdir } from "node:fs/promises";

import { build } from "esbuild";

const [folder, out] = process.argv.slice(2);
const sources = (await readdir(folder)).filter((file) => file.endsWith(".ts") && file !== "index.ts" && file !== "runtime.ts");
const contents = sources.map((file) => `export * from "./${file.replace(/\.ts$/, ".js")}";`).join("\n");
await build({
  stdin: { contents, resolveDir: folder, loader: "ts" },
  outfile: out,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node18",
  logLevel: "warning",
});
