// Build the page for one embedded bundle: scripts bundled, model and runtime beside them, and a list for going offline.
//
//   node build.mjs SELECTOR.ts VERSION_FOLDER OUT      the two come from `edgecomp embed BUNDLE --web DIR`

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const [selector, version, out] = process.argv.slice(2);
const facts = JSON.parse(await readFile(join(version, "facts.json"), "utf8"));
const modules = join(here, "node_modules");
const kinds = ["internal", "compat_internal", "threaded_internal"];
const RUNTIMES = {
  tflite: kinds.flatMap((kind) => ["js", "wasm"].map((end) => `@litertjs/core/wasm/litert_wasm_${kind}.${end}`)),
  onnx: ["mjs", "wasm"].map((end) => `onnxruntime-web/dist/ort-wasm-simd-threaded.${end}`),
};
const TARGET = ["chrome91", "firefox90", "safari16.4"]; // the first with SIMD in WebAssembly

await rm(out, { recursive: true, force: true });
await mkdir(join(out, "runtime"), { recursive: true });
await cp(join(here, "public"), out, { recursive: true });

const common = { bundle: true, minify: true, format: "esm", target: TARGET, logLevel: "warning", nodePaths: [modules], legalComments: "none" };
const alias = { bundle: selector };
const page = { ...common, alias, conditions: ["onnxruntime-web-use-extern-wasm"], define: { "import.meta.url": "document.baseURI" } };
await build({ ...page, entryPoints: [join(here, "src/app.ts")], outfile: join(out, "app.js") });
await build({ ...common, entryPoints: [join(here, "src/worklet.ts")], outfile: join(out, "worklet.js") });
await build({ ...common, entryPoints: [join(here, "src/style.css")], outfile: join(out, "style.css") });

await mkdir(join(out, "model"));
await cp(join(version, "golden"), join(out, "model", "golden"), { recursive: true });
for (const name of ["facts.json", facts.model_file]) await cp(join(version, name), join(out, "model", name));
const form = facts.model_file.endsWith(".onnx") ? "onnx" : "tflite";
for (const file of RUNTIMES[form]) await cp(join(modules, file), join(out, "runtime", file.split("/").at(-1)));

const manifest = JSON.parse(await readFile(join(out, "manifest.webmanifest"), "utf8"));
const name = facts.bundle.replaceAll("_", " ");
const named = { ...manifest, name: `edgecomp: ${name}`, short_name: name, description: facts.summary || manifest.description };
await writeFile(join(out, "manifest.webmanifest"), JSON.stringify(named, null, 1));

const entries = await readdir(out, { recursive: true, withFileTypes: true });
const whole = entries.filter((one) => one.isFile()).map((one) => relative(out, join(one.parentPath, one.name)).split(sep).join("/"));
const first = whole.filter((file) => !file.startsWith("runtime/")).sort();
const hash = createHash("sha256");
for (const file of [...whole].sort()) hash.update(file).update(await readFile(join(out, file)));
const define = { FILES: JSON.stringify(["./", ...first]), VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)) };
await build({ ...common, format: "iife", define, entryPoints: [join(here, "src/sw.ts")], outfile: join(out, "sw.js") });
