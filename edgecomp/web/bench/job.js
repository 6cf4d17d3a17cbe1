// Does one job and posts what happens, a JSON object a line, as each line is known; the last one is done or failed.

import { canDo, clockStepMs, now, watchHeap } from "./facts.js";
import { firstLine, openModel, Refusal } from "./runtimes.js";
import { batchOf, median, schedule, seeded, shuffled, thinned } from "./timing.js";

const CLIPS_AT_ONCE = 16;
const query = location.search;

const JOBS = { answers, latency, start };

try {
  const job = await (await fetch(`job${query}`)).json();
  const { missing } = canDo();
  if (missing) throw new Refusal(`this browser cannot run models: ${missing}`, "open the page in another browser");
  await JOBS[job.job](job);
  await post({ event: "done" });
  parent.postMessage({ text: "", over: true }, location.origin);
} catch (why) {
  const fix = why instanceof Refusal ? why.fix : "run the same command again; if it stays, try the file on --on host";
  await post({ event: "failed", what: firstLine(why), fix });
  parent.postMessage({ text: firstLine(why), over: true }, location.origin);
}

/** Answer every clip. */
async function answers(job) {
  const model = await open(job, job.model);
  await post({ event: "loaded", runtime: model.runtime });
  for (let first = 0; first < job.clips.count; first += CLIPS_AT_ONCE) {
    const rows = [];
    for (const [index, clip] of (await clips(job.clips, first, CLIPS_AT_ONCE)).entries()) {
      const found = await model.answer(clip);
      const row = { event: "answer", row: first + index, probabilities: [...found.probabilities].map(number) };
      rows.push({ ...row, uncertainty: number(found.uncertainty[0]) });
    }
    await post(...rows);
    show(`${Math.min(first + CLIPS_AT_ONCE, job.clips.count)} of ${job.clips.count} clips`);
  }
}

/** Time several models in interleaved windows, in an order drawn anew for each; one event a window. */
async function latency(job) {
  const waves = await clips(job.clips, 0, job.clips.count);
  const models = {};
  for (const [name, one] of Object.entries(job.models)) {
    const begun = performance.now();
    models[name] = await open(job, one);
    await models[name].answer(waves[0]);
    await post({ event: "loaded", name, runtime: models[name].runtime, load_ms: performance.now() - begun });
  }
  const stepMs = clockStepMs();
  const names = Object.keys(models);
  const typical = {};
  for (const name of names) typical[name] = await typicalMs(models[name], waves, Math.max(2, job.warmup), stepMs);
  const { windows, repeats } = schedule(job, mapped(typical, (ms) => ms / 1e3));
  const batch = mapped(typical, (ms) => batchOf(ms, stepMs));
  await post({ event: "planned", windows, repeats, cpu: null, clock_step_ms: stepMs, batch });
  const random = seeded(job.seed);
  const total = mapped(typical, () => 0);
  const wantedMs = (job.sustained_s || job.seconds) * 1e3;
  const begun = performance.now();
  for (let turn = 0; turn < windows || Math.min(...Object.values(total)) < wantedMs; turn += 1) {
    const taken = {};
    for (const name of shuffled(names, random)) {
      const readings = await timed(models[name], waves, turn, repeats[name], batch[name]);
      const runs = readings.length * batch[name];
      total[name] += readings.reduce((sum, ms) => sum + ms, 0) * batch[name];
      taken[name] = { median_ms: median(readings), runs, ms: thinned(readings) };
    }
    await post({ event: "window", window: turn, at_s: (performance.now() - begun) / 1e3, taken, battery: await now() });
    show(`window ${turn + 1} of ${windows}`);
  }
}

/** From this frame's navigation to its first answer: page, scripts, runtime and model are fetched and compiled anew. */
async function start(job) {
  const heapBytes = watchHeap();
  const begun = performance.now();
  const model = await open(job, job.model);
  const random = seeded(job.seed);
  await model.answer(Float32Array.from({ length: model.samples }, () => 0.2 * (random() - 0.5)));
  const answered = performance.now();
  await post({ event: "start", cold_ms: answered, load_ms: answered - begun, runtime: model.runtime, heap_bytes: heapBytes() });
}

async function open(job, one) {
  const model = await openModel(await bytes(one.file), { form: one.form, threads: job.threads, versions: job.versions });
  if (model.samples !== job.samples) {
    throw new Refusal(`the model takes ${model.samples} samples and the clips have ${job.samples}`, "give clips of the bundle's length");
  }
  return model;
}

/** Return the milliseconds of a run, one for each reading of the clock; a reading spans `batch` runs. */
async function timed(model, waves, first, runs, batch) {
  const readings = [];
  for (let run = first; run < first + runs; run += batch) {
    const begun = performance.now();
    for (let one = run; one < run + batch; one += 1) await model.answer(waves[one % waves.length]);
    readings.push((performance.now() - begun) / batch);
  }
  return readings;
}

/** Warm a model up, and return the median of the later half; runs longer where the clock's steps are coarse. */
async function typicalMs(model, waves, warmup, stepMs) {
  const warm = await timed(model, waves, 0, warmup, 1);
  const later = median(warm.slice(warmup >> 1));
  if (later > stepMs / 0.02) return later;
  const [mean] = await timed(model, waves, 0, 64, 64);
  return Math.max(mean, 1e-3);
}

async function clips(told, first, count) {
  const size = 4 * told.samples;
  const last = Math.min(first + count, told.count);
  const content = (await bytes(`${told.file}&from=${first * size}&to=${last * size}`)).buffer;
  return Array.from({ length: last - first }, (_, row) => new Float32Array(content, row * size, told.samples));
}

async function bytes(file) {
  const answer = await fetch(`file${query}&name=${file}`);
  if (!answer.ok) throw new Refusal(`a file of the job did not come: ${answer.status}`, "run the same command again");
  return new Uint8Array(await answer.arrayBuffer());
}

async function post(...events) {
  const body = events.map((event) => JSON.stringify(event)).join("\n");
  const answer = await fetch(`events${query}`, { method: "POST", body });
  if (!answer.ok) throw new Error(`edgecomp answered ${answer.status}`);
}

function show(text) {
  parent.postMessage({ text, over: false }, location.origin);
}

/** JSON has no NaN: it goes as its name, and Python's float() reads that. */
function number(value) {
  return Number.isFinite(value) ? value : String(value);
}

function mapped(values, change) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));
}
