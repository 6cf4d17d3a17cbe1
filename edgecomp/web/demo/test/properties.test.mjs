// What must hold of the generated TypeScript for any input; MODULE is the built module, FACTS a facts.json.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import fc from "fast-check";

const m = await import(process.env.MODULE);
const stated = JSON.parse(readFileSync(process.env.FACTS, "utf8"));
const bytes = (value) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const facts = { ...m.readFacts(bytes(stated)), samples: 400, hop_samples: 200, sample_rate_hz: 8000, ask_above: 0.4 };
const runs = { numRuns: 60 };

const sample = fc.float({ min: -1, max: 1, noNaN: true });
const sound = (most) => fc.array(sample, { minLength: 1, maxLength: most }).map((values) => Float32Array.from(values));
const noise = fc.record({ seed: fc.nat(), length: fc.integer({ min: 1, max: 3000 }) }).map(({ seed, length }) => random(seed, length));
const rate = fc.constantFrom(8000, 16000, 11025, 44100, 48000);
const cuts = fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 20 });
const fit = fc.constantFrom("loudest", "centre", "start");

/** A seeded sound whose loudness changes, so that its loudest window is somewhere in particular. */
function random(seed, length) {
  let state = (seed + 1) % 2147483647 || 1;
  return Float32Array.from({ length }, (_, at) => {
    state = (state * 48271) % 2147483647;
    return (state / 2147483647 - 0.5) * (0.2 + Math.abs(Math.sin((seed % 97) + at / 250)));
  });
}

/** Cut a sound into pieces of the sizes given, the rest as one. */
function* pieces(wave, sizes) {
  let at = 0;
  for (const size of sizes) {
    yield wave.slice(at, at + size);
    at += size;
    if (at >= wave.length) return;
  }
  yield wave.slice(at);
}

/** A session that hears nothing, and keeps what it was asked about. */
function recorder() {
  const asked = [];
  const session = async (wave) => {
    asked.push(Float32Array.from(wave));
    const share = Math.min(1, Math.abs(wave[0]) + Math.abs(wave.at(-1)));
    const probabilities = new Float32Array(facts.labels.length);
    probabilities[Math.floor(share * 2.999) % facts.labels.length] = 1;
    return { probabilities, uncertainty: Math.fround(Math.abs(wave[wave.length >> 1])) };
  };
  return { asked, session };
}

test("a recording in pieces gives the bits of the whole one", async () => {
  await fc.assert(
    fc.asyncProperty(noise, rate, fit, cuts, async (wave, hz, how, sizes) => {
      const [whole, parts] = [recorder(), recorder()];
      const fitted = { ...facts, fit: how };
      const base = new URL("file:///");
      const outcome = await new m.Model(fitted, whole.session, base).answer(wave, hz);
      const recording = new m.Model(fitted, parts.session, base).recording(hz);
      for (const piece of pieces(wave, sizes)) recording.push(piece);
      assert.deepEqual(await recording.finish(), outcome);
      assert.deepEqual(parts.asked, whole.asked);
      assert.equal(whole.asked[0].length, facts.samples);
    }),
    runs,
  );
});

test("a listener hears the same however the stream is cut, even where nobody waits for it", async () => {
  await fc.assert(
    fc.asyncProperty(noise, rate, cuts, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), async (wave, hz, sizes, pool, hold) => {
      const [whole, parts] = [recorder(), recorder()];
      const heard = await new m.Listener(facts, whole.session, hz, pool, hold).push(wave);
      const listener = new m.Listener(facts, parts.session, hz, pool, hold);
      const came = await Promise.all([...pieces(wave, sizes)].map((piece) => listener.push(piece)));
      assert.deepEqual(came.flat(), heard);
      assert.deepEqual(parts.asked, whole.asked);
      heard.forEach((one, row) => assert.equal(one.firstSample, row * facts.hop_samples));
    }),
    runs,
  );
});

test("no window spans a gap, and after it everything begins anew", async () => {
  await fc.assert(
    fc.asyncProperty(noise, noise, async (before, after) => {
      const [cut, alone] = [recorder(), recorder()];
      const listener = new m.Listener(facts, cut.session, 16000);
      const first = await listener.push(before);
      await listener.gap();
      const heard = await listener.push(after);
      const fresh = await new m.Listener(facts, alone.session, 16000).push(after);
      assert.deepEqual(cut.asked.slice(first.length), alone.asked);
      assert.deepEqual(heard.map((one) => one.outcome), fresh.map((one) => one.outcome));
      assert.deepEqual(heard.map((one) => one.firstSample), fresh.map((one) => one.firstSample));
    }),
    runs,
  );
});

test("a ring gives every sample once and in order, or counts it as dropped", () => {
  const step = fc.oneof(fc.record({ write: fc.nat(40) }), fc.record({ read: fc.nat(40) }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.array(step, { maxLength: 60 }), (capacity, steps) => {
      const ring = new m.Ring(capacity);
      let [written, read, next] = [0, 0, 0];
      for (const one of steps) {
        if ("write" in one) {
          const before = ring.dropped;
          const lost = ring.write(Float32Array.from({ length: one.write }, (_, at) => written + at));
          written += one.write;
          assert.equal(ring.dropped - before, lost);
        } else {
          const { first, wave } = ring.read(one.read);
          assert.deepEqual([...wave], Array.from(wave, (_, at) => first + at), "a sample is its own index");
          assert.ok(first >= next, "the stream never goes back");
          next = first + wave.length;
          read += wave.length;
        }
        assert.equal(written, read + ring.dropped + ring.waiting);
        assert.ok(ring.waiting <= capacity);
      }
      const last = ring.read(capacity);
      assert.equal(last.first + last.wave.length, written, "the newest samples stay");
    }),
  );
});

test("equal rates change nothing, and silence stays silence at its length", () => {
  fc.assert(
    fc.property(noise, rate, rate, (wave, from, to) => {
      assert.deepEqual(m.resample(wave, 16000, 16000), wave);
      const quiet = m.resample(new Float32Array(wave.length), from, to);
      assert.equal(quiet.length, Math.floor((2 * wave.length * to + from) / (2 * from)));
      assert.ok(quiet.every((one) => one === 0));
    }),
    runs,
  );
});

test("what cannot be used is refused with ModelError, and changes nothing", async () => {
  const refused = (act) => assert.throws(act, (why) => why instanceof m.ModelError && why.message.length > 10);
  for (const hz of [0, -1, 3999, 400_000, 44_101, 16_000.5, NaN, Infinity, "16000"]) refused(() => new m.Resampler(hz, 16000));
  const { asked, session } = recorder();
  const recording = new m.Recording({ ...facts, fit: "start" }, session, 8000);
  const good = random(1, 300);
  recording.push(good);
  for (const bad of [Float32Array.of(0.1, NaN), Float32Array.of(Infinity), new Float64Array(3), [0.1], null]) refused(() => recording.push(bad));
  recording.push(good);
  await recording.finish();
  assert.deepEqual(asked[0], Float32Array.from([...good, ...good]).slice(0, facts.samples));
  refused(() => recording.push(good));
  await assert.rejects(recording.finish(), m.ModelError);
  await assert.rejects(new m.Recording(facts, session, 8000).finish(), m.ModelError);
  for (const [pool, hold] of [[0, 1], [1, 0], [1.5, 1]]) refused(() => new m.Listener(facts, session, 8000, pool, hold));
  const listener = new m.Listener(facts, session, 8000);
  await assert.rejects(listener.push(Float32Array.of(NaN)), m.ModelError);
});

test("damaged facts end in ModelError and nothing else", () => {
  const key = fc.constantFrom(...Object.keys(stated));
  const whole = [...bytes(stated)];
  const check = (content) => {
    try {
      const read = m.readFacts(content);
      assert.ok(read.labels.length > 1 && Number.isInteger(read.samples) && ["loudest", "centre", "start"].includes(read.fit));
    } catch (why) {
      assert.ok(why instanceof m.ModelError, `${why}`);
    }
  };
  fc.assert(fc.property(key, fc.jsonValue(), (name, value) => check(bytes({ ...stated, [name]: value }))), { numRuns: 400 });
  fc.assert(fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => check(Uint8Array.from(whole.with?.(at, value) ?? whole))), { numRuns: 400 });
  fc.assert(fc.property(fc.nat(whole.length - 1), (end) => check(Uint8Array.from(whole.slice(0, end)))), runs);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), check));
  for (const name of Object.keys(stated).filter((one) => !["generated", "summary"].includes(one))) {
    const { [name]: _, ...without } = stated;
    assert.throws(() => m.readFacts(bytes(without)), m.ModelError, name);
  }
});

test("damaged golden answers end in ModelError and nothing else", async () => {
  const clip = { file: "00.f32", sha256: "0", probabilities: facts.labels.map(() => 0.5), uncertainty: 0.25 };
  const told = { tolerance: 0.02, clips: [clip, clip] };
  const real = globalThis.fetch;
  const check = async (content) => {
    const sha = [...new Uint8Array(await crypto.subtle.digest("SHA-256", content))].map((b) => b.toString(16).padStart(2, "0")).join("");
    globalThis.fetch = async (url) => (`${url}`.endsWith("golden.json") ? new Response(content) : new Response(null, { status: 404 }));
    const session = async () => assert.fail("no clip has the hash that is stated");
    const model = new m.Model({ ...facts, golden_sha256: sha }, session, new URL("http://localhost/"));
    await assert.rejects(model.selfTest(), (why) => why instanceof m.ModelError && why.message.length > 10);
  };
  const whole = [...bytes(told)];
  const key = fc.constantFrom("tolerance", "clips");
  const inside = fc.constantFrom(...Object.keys(clip));
  try {
    await fc.assert(fc.asyncProperty(key, fc.jsonValue(), (name, value) => check(bytes({ ...told, [name]: value }))), runs);
    await fc.assert(fc.asyncProperty(inside, fc.jsonValue(), (name, value) => check(bytes({ ...told, clips: [{ ...clip, [name]: value }] }))), runs);
    await fc.assert(fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), (at, value) => check(Uint8Array.from(whole, (b, i) => (i === at ? value : b)))), runs);
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), check), runs);
  } finally {
    globalThis.fetch = real;
  }
});

test("damaged WAV files end in ModelError and nothing else", () => {
  const header = Buffer.alloc(44);
  header.write("RIFF\0\0\0\0WAVEfmt ", 0, "latin1");
  [[16, 16], [40, 64]].forEach(([at, value]) => header.writeUInt32LE(value, at));
  [[20, 1], [22, 1], [34, 16]].forEach(([at, value]) => header.writeUInt16LE(value, at));
  header.writeUInt32LE(8000, 24);
  header.write("data", 36, "latin1");
  const whole = new Uint8Array([...header, ...Buffer.alloc(64, 7)]);
  assert.equal(m.readWav(whole.buffer).wave.length, 32);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(whole.length), (edits, end) => {
      const changed = whole.slice(0, end);
      for (const [at, value] of edits) if (at < end) changed[at] = value;
      try {
        const { wave } = m.readWav(changed.buffer);
        assert.ok(wave.length > 0 && wave.every(Number.isFinite));
      } catch (why) {
        assert.ok(why instanceof m.ModelError, `${why}`);
      }
    }),
    { numRuns: 500 },
  );
});

test("an answer is given only where every figure is a number and the uncertainty is low enough", () => {
  const figure = fc.oneof(fc.float({ min: 0, max: 1, noNaN: true }), fc.constantFrom(NaN, Infinity, -Infinity));
  const many = fc.array(figure, { minLength: facts.labels.length, maxLength: facts.labels.length });
  fc.assert(
    fc.property(many, figure, fc.option(fc.float({ min: 0, max: 1, noNaN: true })), (values, uncertainty, limit) => {
      const given = Float32Array.from(values);
      const outcome = m.decide({ ...facts, ask_above: limit }, given, uncertainty);
      const isWhole = [...given, uncertainty].every(Number.isFinite);
      const reason = !isWhole ? "not a number" : limit === null ? "always" : uncertainty > limit ? "unsure" : undefined;
      assert.equal(outcome.reason, reason);
      assert.equal(outcome.kind, reason === undefined ? "answer" : "ask");
      if (isWhole) assert.equal(outcome.probability, Math.max(...given));
      assert.ok(facts.labels.includes(outcome.label ?? outcome.bestGuess));
      const row = JSON.parse(JSON.stringify(m.asRow(facts, outcome)));
      assert.equal(row.ask, reason !== undefined);
    }),
  );
});

test("a self-test fails on any difference beyond the tolerance, and on what is no number", async () => {
  const wave = new Float32Array(facts.samples).fill(0.25);
  const sha = async (content) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", content))].map((b) => b.toString(16).padStart(2, "0")).join("");
  const probabilities = facts.labels.map((_, row) => (row === 0 ? 1 : 0));
  const clip = { file: "00.f32", sha256: await sha(wave), probabilities, uncertainty: 0.25, label: facts.labels[0], reason: null };
  const golden = bytes({ tolerance: 0.02, clips: [clip] });
  const files = { "golden/golden.json": golden, "golden/00.f32": new Uint8Array(wave.buffer) };
  const real = globalThis.fetch;
  globalThis.fetch = async (url) => new Response(files[new URL(url).pathname.slice(1)] ?? null, { status: new URL(url).pathname.slice(1) in files ? 200 : 404 });
  try {
    const model = (off, held = facts) => {
      const session = async () => ({ probabilities: Float32Array.from(probabilities, (one) => one + off), uncertainty: 0.25 });
      return new m.Model(held, session, new URL("http://localhost/"));
    };
    const held = { ...facts, golden_sha256: await sha(golden) };
    assert.deepEqual(await model(0, held).selfTest(), { passed: true, worst: 0, tolerance: 0.02, clips: 1 });
    assert.equal((await model(0.019, held).selfTest()).passed, true);
    assert.equal((await model(-0.03, held).selfTest()).passed, false);
    const broken = await model(NaN, held).selfTest();
    assert.ok(!broken.passed && Number.isNaN(broken.worst));
    await assert.rejects(model(0).selfTest(), /golden.json is damaged or was changed/);
    files["golden/00.f32"] = files["golden/00.f32"].slice(4);
    await assert.rejects(model(0, held).selfTest(), m.ModelError);
    delete files["golden/00.f32"];
    await assert.rejects(model(0, held).selfTest(), /00.f32 cannot be read: the server answered 404/);
  } finally {
    globalThis.fetch = real;
  }
});
