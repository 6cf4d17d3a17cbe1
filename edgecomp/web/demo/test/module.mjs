// Give the built module (MODULE) what tests/test_embed_web.py asks for on stdin, and print what it says as JSON.

const m = await import(process.env.MODULE);
const parts = [];
for await (const part of process.stdin) parts.push(part);
const { facts, cases } = JSON.parse(Buffer.concat(parts).toString("utf8"));

const JOBS = {
  resample: ({ wave, from, to }) => [...m.resample(Float32Array.from(wave), from, to)],
  async window({ wave, rate, fit, samples }) {
    let asked = [];
    const session = async (window) => {
      asked = [...window];
      return { probabilities: Float32Array.from(facts.labels, () => 0), uncertainty: 0 };
    };
    await new m.Model({ ...facts, fit, samples }, session, new URL("file:///")).answer(Float32Array.from(wave), rate);
    return asked;
  },
  decide: ({ change, probabilities, uncertainty }) => {
    const numbers = probabilities.map(Number);
    const changed = { ...facts, ...change };
    return m.asRow(changed, m.decide(changed, Float32Array.from(numbers), Number(uncertainty)));
  },
  async listen({ wave, rate, pool, hold, seeds }) {
    let turn = 0;
    const session = async () => {
      const row = seeds[turn++ % seeds.length];
      return { probabilities: Float32Array.from(row.slice(0, -1)), uncertainty: Math.fround(row.at(-1)) };
    };
    const heard = await new m.Listener(facts, session, rate, pool, hold).push(Float32Array.from(wave));
    return heard.map((one) => ({ first: one.firstSample, changed: one.changed, row: m.asRow(facts, one.outcome) }));
  },
  answers: ({ given }) => {
    try {
      return m.checkAnswers(m.readFacts(new TextEncoder().encode(JSON.stringify(facts))).questions, given);
    } catch (why) {
      if (why instanceof m.FormError) return null;
      throw why;
    }
  },
  number: ({ typed }) => m.readNumber(typed),
  wav: ({ bytes }) => {
    try {
      const { wave, rateHz } = m.readWav(Uint8Array.from(bytes).buffer);
      return { wave: [...wave], rate: rateHz };
    } catch (why) {
      return { error: why.message };
    }
  },
};
const said = [];
for (const { job, ...given } of cases) said.push(await JOBS[job](given));
process.stdout.write(JSON.stringify(said));
