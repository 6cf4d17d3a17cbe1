// Open an ONNX file with onnxruntime-web (npm: onnxruntime-web): the waveform in, the outputs read by name.

import * as ort from "onnxruntime-web/wasm";

import { ModelError, words, type Facts } from "./facts.js";
import type { Session } from "./listen.js";
import { checkBrowser, threadsHere } from "./simd.js";

/**
 * Open a model file whose hash was checked.
 *
 * wasm: the folder that holds node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs and .wasm
 */
export async function openSession(content: Uint8Array<ArrayBuffer>, facts: Facts, wasm: URL, threads: number): Promise<Session> {
  checkBrowser();
  ort.env.wasm.wasmPaths = wasm.href;
  ort.env.wasm.numThreads = threadsHere(threads);
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] }).catch((why) => {
    throw new ModelError(`${facts.model_file} cannot be opened with the runtime of ${wasm.href}: ${words(why)}`);
  });
  const { labels, samples } = facts;
  check(session.inputMetadata, { waveform: [1, samples] }, "input");
  check(session.outputMetadata, { probabilities: [1, labels.length], uncertainty: [1, 1] }, "output");
  const ask: Session = async (wave) => {
    try {
      const told = await session.run({ waveform: new ort.Tensor("float32", wave, [1, samples]) });
      const read = (name: string) => Float32Array.from(told[name]!.data as Float32Array);
      return { probabilities: read("probabilities"), uncertainty: read("uncertainty")[0]! };
    } catch (why) {
      throw new ModelError(`the model cannot answer: ${words(why)}`);
    }
  };
  return inTurn(ask);
}

function check(found: readonly ort.InferenceSession.ValueMetadata[], wanted: Record<string, number[]>, what: string): void {
  for (const [name, shape] of Object.entries(wanted)) {
    const one = found.find((details) => details.name === name);
    if (one === undefined) throw new ModelError(`the model file has no ${what} '${name}': ${found.map((it) => it.name).join(", ")}`);
    if (!one.isTensor || one.type !== "float32" || String([...one.shape]) !== String(shape)) {
      throw new ModelError(`${what} '${name}' is not float32 [${shape}]`);
    }
  }
}

/** Return a session whose calls wait for one another: the runtime refuses two at once. */
function inTurn(ask: Session): Session {
  let last: Promise<unknown> = Promise.resolve();
  return (wave) => {
    const next = last.then(() => ask(wave));
    last = next.catch(() => undefined);
    return next;
  };
}
