// Open a TFLite file with LiteRT.js (npm: @litertjs/core): the waveform in, the outputs read by name.

import { getGlobalLiteRtPromise, loadAndCompile, loadLiteRt, Tensor, type TensorDetails } from "@litertjs/core";

import { ModelError, words, type Facts } from "./facts.js";
import type { Session } from "./listen.js";
import { checkBrowser, threadsHere } from "./simd.js";

/**
 * Open a model file whose hash was checked.
 *
 * wasm: the folder that holds the files of node_modules/@litertjs/core/wasm; the first version that is opened loads them
 */
export async function openSession(content: Uint8Array<ArrayBuffer>, facts: Facts, wasm: URL, threads: number): Promise<Session> {
  checkBrowser();
  const used = threadsHere(threads);
  try {
    await (getGlobalLiteRtPromise() ?? loadLiteRt(wasm.href, { threads: used > 1 }));
  } catch (why) {
    throw new ModelError(`LiteRT.js cannot be loaded from ${wasm.href}: ${words(why)}`);
  }
  const model = await loadAndCompile(content, { accelerator: "wasm", cpuOptions: { numThreads: used } }).catch((why) => {
    throw new ModelError(`${facts.model_file} cannot be opened: ${words(why)}`);
  });
  const { labels, samples } = facts;
  check(model.getInputDetails(), { waveform: [1, samples] }, "input");
  check(model.getOutputDetails(), { probabilities: [1, labels.length], uncertainty: [1, 1] }, "output");
  const ask: Session = async (wave) => {
    const waveform = new Tensor(wave, [1, samples]);
    try {
      const told = await model.run({ waveform });
      const read = (name: string) => Float32Array.from(told[name]!.toTypedArray() as Float32Array);
      const said = { probabilities: read("probabilities"), uncertainty: read("uncertainty")[0]! };
      for (const tensor of Object.values(told)) tensor.delete();
      return said;
    } catch (why) {
      throw new ModelError(`the model cannot answer: ${words(why)}`);
    } finally {
      waveform.delete();
    }
  };
  return inTurn(ask);
}

function check(found: readonly TensorDetails[], wanted: Record<string, number[]>, what: string): void {
  for (const [name, shape] of Object.entries(wanted)) {
    const one = found.find((details) => details.name === name);
    if (one === undefined) throw new ModelError(`the model file has no ${what} '${name}': ${found.map((it) => it.name).join(", ")}`);
    if (one.dtype !== "float32" || String([...one.shape]) !== String(shape)) {
      throw new ModelError(`${what} '${name}' is ${one.dtype} [${[...one.shape]}], and float32 [${shape}] is wanted`);
    }
  }
}

/** Return a session whose calls wait for one another: the runtime holds one set of tensors. */
function inTurn(ask: Session): Session {
  let last: Promise<unknown> = Promise.resolve();
  return (wave) => {
    const next = last.then(() => ask(wave));
    last = next.catch(() => undefined);
    return next;
  };
}
