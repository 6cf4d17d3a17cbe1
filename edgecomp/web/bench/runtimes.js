// How a model file of each format is opened here: a function from a waveform to its outputs, read by name.

/** An error whose words are for the person at the other end. */
export class Refusal extends Error {
  constructor(what, fix) {
    super(what);
    this.fix = fix;
  }
}

/**
 * Open a model file.
 *
 * form: "tflite" or "onnx"; threads: of the runtime
 * returns {runtime, samples, answer}: answer(Float32Array) → {probabilities, uncertainty}, both Float32Array
 */
export async function openModel(content, { form, threads, versions }) {
  const open = { tflite: openTflite, onnx: openOnnx }[form];
  if (!open) throw new Refusal(`no runtime here for ${form}`, "allowed: onnx, tflite");
  if (threads > 1 && !globalThis.crossOriginIsolated) {
    throw new Refusal(
      `${threads} threads need a page that is cross-origin isolated, which this one is not: its address is not HTTPS or localhost`,
      "ask for 1 thread; or on Android with a cable: adb reverse tcp:PORT tcp:PORT, and open http://localhost:PORT/… on the phone",
    );
  }
  return open(content, threads, versions);
}

async function openTflite(content, threads, versions) {
  const { loadLiteRt, loadAndCompile, Tensor } = await import("@litertjs/core");
  await loadLiteRt(new URL("./npm/litert/wasm/", import.meta.url).href, { threads: threads > 1 });
  const model = await understood(() => loadAndCompile(content, { accelerator: "wasm", cpuOptions: { numThreads: threads } }), "tflite");
  const [input, ...more] = model.getInputDetails();
  const samples = checked(input.dtype, [...input.shape], more.length);
  const names = model.getOutputDetails().map((one) => one.name);
  const [first, second] = places(names);
  const answer = async (waveform) => {
    const given = new Tensor(waveform, [1, samples]);
    const told = await model.run([given]);
    given.delete();
    const [probabilities, uncertainty] = [told[first].toTypedArray(), told[second].toTypedArray()];
    const copied = { probabilities: Float32Array.from(probabilities), uncertainty: Float32Array.from(uncertainty) };
    for (const one of told) one.delete();
    return copied;
  };
  return { runtime: `LiteRT.js ${versions["@litertjs/core"]}`, samples, answer };
}

async function openOnnx(content, threads, versions) {
  const ort = await import("./npm/ort/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("./npm/ort/", import.meta.url).href;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const settings = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
  const session = await understood(() => ort.InferenceSession.create(content, settings), "onnx");
  const [input, ...more] = session.inputMetadata;
  const samples = checked(input.type, [...input.shape], more.length);
  places(session.outputNames);
  const answer = async (waveform) => {
    const told = await session.run({ [input.name]: new ort.Tensor("float32", waveform, [1, samples]) });
    return { probabilities: told.probabilities.data, uncertainty: told.uncertainty.data };
  };
  return { runtime: `onnxruntime-web ${versions["onnxruntime-web"]}`, samples, answer };
}

async function understood(load, form) {
  try {
    return await load();
  } catch (why) {
    throw new Refusal(`this ${form} file cannot be loaded: ${firstLine(why)}`, "check that the file is whole: edgecomp verify BUNDLE");
  }
}

function checked(dtype, shape, others) {
  if (others || dtype !== "float32" || shape.length !== 2) {
    throw new Refusal(`a model with one float32 input of [1, samples] is wanted, this one has ${dtype} [${shape}] and ${others} more`,
      "give a model file that edgecomp compiled");
  }
  return shape[1];
}

function places(names) {
  return ["probabilities", "uncertainty"].map((wanted) => {
    const found = names.indexOf(wanted);
    if (found < 0) throw new Refusal(`this file has no output '${wanted}'; it has ${names.join(", ")}`, "give a model file that edgecomp compiled");
    return found;
  });
}

export function firstLine(why) {
  const text = why instanceof Error ? why.message : String(why);
  return text.split("\n")[0].slice(0, 300);
}
