// Drive the built page in a real Chromium, as tests/test_web_demo.py asks for on stdin, and print what was seen as JSON.
//
//   {"job": "tour" | "form" | "files" | "blocked" | "offline" | "update", "url": …, "chromium": path, "flags": […], "clip": WAV for the microphone,
//    "ask": WAV that it asks about, "clips": [WAV …], "pictures": folder, "damages": [path of a file to damage, …],
//    "served": the folder behind url, "next": the folder that is to replace its content}

import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";

import { chromium } from "playwright-core";

const asked = JSON.parse(await text(process.stdin));
const microphone = asked.clip === undefined ? [] : [`--use-file-for-fake-audio-capture=${asked.clip}%noloop`];
const browser = await chromium.launch({
  executablePath: asked.chromium,
  args: [
    "--use-fake-device-for-media-stream",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    ...microphone,
    ...(asked.flags ?? []),
  ],
  chromiumSandbox: false,
});
const context = await browser.newContext({
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  locale: "en-GB",
  permissions: asked.job === "blocked" ? [] : ["microphone"],
});
const page = await context.newPage();
const errors = [];
page.on("pageerror", (why) => errors.push(`${why}`));
page.on("console", (line) => line.type() === "error" && !/^(INFO|WARNING): /.test(line.text()) && errors.push(line.text())); // LiteRT's own log
const foreign = [];
page.on("request", (one) => new URL(one.url()).origin !== new URL(asked.url).origin && !one.url().startsWith("blob:") && foreign.push(one.url()));

try {
  const seen = await { tour, form, files, blocked, offline, update }[asked.job]();
  process.stdout.write(JSON.stringify({ ...seen, errors, foreign }));
} finally {
  await browser.close();
}

/** Every screen once: checked by axe, pictured, and a recording through the microphone with the samples that came. */
async function tour() {
  const { look, found } = await watched();
  await context.addInitScript(() => {
    globalThis.tapped = [];
    const real = globalThis.AudioWorkletNode;
    globalThis.AudioWorkletNode = class extends real {
      constructor(...given) {
        super(...given);
        this.port.addEventListener("message", ({ data }) => globalThis.tapped.push(...data.wave));
        globalThis.rate = given[0].sampleRate;
      }
    };
  });
  await page.goto(asked.url);
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  const isolated = await page.evaluate(() => crossOriginIsolated);
  await look("home");
  await page.click("#record");
  const isHeard = () => document.querySelector("#level").dataset.word === "good" && document.querySelector("#level").ariaValueText;
  const level = await (await page.waitForFunction(isHeard, null, { timeout: 20_000 })).jsonValue();
  await look("recording");
  const row = await result();
  const isFocused = await page.evaluate(() => document.activeElement?.tagName === "H2");
  await look(row.row.ask ? "ask" : "answer");
  const tapped = await page.evaluate(() => ({ wave: globalThis.tapped, rate: globalThis.rate }));
  await page.click("#all-figures summary");
  await look("figures");
  const said = await page.innerText("#verdict");
  const footer = await page.innerText("footer");
  await page.evaluate(() => document.querySelector("main").insertAdjacentHTML("beforeend", "<button id=planted></button>"));
  await look("planted", false); // an issue that must be found, or the others mean nothing
  await page.evaluate(() => document.querySelector("#planted").remove());
  if (asked.ask) {
    await page.setInputFiles("#file", asked.ask);
    await page.waitForSelector('#verdict[data-kind="ask"]');
    await page.waitForSelector("#result:not([hidden])");
    await page.evaluate(() => document.querySelector("#all-figures").removeAttribute("open"));
    await look("ask");
    await page.selectOption("#language", "hi");
    await page.waitForSelector("#home:not([hidden])");
    await look("home-hindi");
  }
  return { found, row, tapped, said, footer, isolated, isFocused, level };
}

/** The form: left empty, filled in by keyboard, in two languages, for two people; by file, and by microphone for the last. */
async function form() {
  const { look, found } = await watched();
  await page.goto(asked.url);
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  await look("form-home", false);
  const begin = await page.innerText("#record");
  await page.setInputFiles("#file", { name: "bad.wav", mimeType: "audio/wav", buffer: Buffer.from("RIFF") });
  await page.waitForSelector("#home-problem:not([hidden])"); // said before anybody has answered a question
  const unreadable = await page.innerText("#home-problem");
  await page.setInputFiles("#file", asked.clips[0]);
  await page.waitForSelector("#form:not([hidden])");
  const submit = await page.innerText("#submit");
  await look("form-empty", false);
  await page.click("#submit");
  const refused = await problems();
  await look("form-refused");
  const focused = await page.evaluate(() => document.activeElement.name);

  const tabs = await byKeyboard(asked.answers);
  const mended = await problems();
  await look("form");
  const sizes = await page.evaluate(() => [...document.querySelectorAll("#form .option, #form .figure input, #form button")].map((one) => one.offsetHeight));
  await page.selectOption("#language", "hi");
  const hindi = await page.innerText("#asked");
  await look("form-hindi");
  const kept = await page.evaluate(() => [...document.querySelectorAll("#asked input")].filter((one) => one.type === "text" || one.checked).map((one) => one.value));
  await page.selectOption("#language", "en");
  await page.focus("#submit");
  await page.keyboard.press("Enter");
  const first = await result();
  const note = await page.innerText("#given-note");
  await page.click("#given summary");
  const shown = await page.innerText("#given");
  await page.click("#given summary");
  await page.click("#entries summary");
  await look("form-answer");
  const listed = await page.innerText("#entries");

  await page.click("#next");
  await page.waitForSelector("#form:not([hidden])");
  const afresh = await page.evaluate(() => [...document.querySelectorAll("#asked input")].filter((one) => one.checked || (one.type === "text" && one.value !== "")).length);
  await page.check("#asked input >> nth=0");
  await page.goBack();
  await page.waitForSelector("#home:not([hidden])");
  await page.click("#record");
  await page.waitForSelector("#form:not([hidden])");
  const afterBack = await page.evaluate(() => [...document.querySelectorAll("#asked input")].filter((one) => one.checked).length);
  await page.click("#back");
  await page.waitForSelector("#home:not([hidden])");
  await page.click("#record");
  await byKeyboard(asked.others);
  await page.click("#submit");
  await page.waitForFunction(() => JSON.parse(localStorage.getItem("edgecomp.history")).length === 2, null, { timeout: 30_000 });
  const second = await result();
  await page.click("#again");
  await page.waitForFunction(() => JSON.parse(localStorage.getItem("edgecomp.history")).length === 3, null, { timeout: 30_000 });
  const again = await result();
  await page.selectOption("#language", "hi");
  await page.waitForSelector("#home:not([hidden])");
  await page.click("#entries summary");
  await look("form-history-hindi", false);
  return { found, begin, unreadable, submit, refused, focused, mended, tabs, sizes, hindi, kept, first, note, shown, listed, afresh, afterBack, second, again };
}

/** Fill in fields with the keyboard alone: Tab to each, arrows among buttons, digits into the others; returns how many Tabs it took. */
async function byKeyboard(answers) {
  await page.focus("#asked input");
  let tabs = 0;
  for (const keys of answers) {
    for (const key of keys) await page.keyboard.press(key);
    await page.keyboard.press("Tab");
    tabs += 1;
  }
  return { tabs, at: await page.evaluate(() => document.activeElement.id) };
}

/** What is said of the fields that are wrong, and how they are bound to what is said. */
async function problems() {
  return page.evaluate(() => ({
    above: document.querySelector("#form-problem").textContent,
    beside: Object.fromEntries([...document.querySelectorAll("#asked .fault:not([hidden])")].map((one) => [one.id, one.textContent])),
    bound: [...document.querySelectorAll("#asked [aria-invalid=true]")].every((one) => one.getAttribute("aria-describedby").split(" ").includes(`fault-${one.name}`)),
  }));
}

/** Return a function that has axe look at the page as it is, and pictures it; and what axe found on each screen. */
async function watched() {
  const axe = await readFile(join(import.meta.dirname, "../node_modules/axe-core/axe.min.js"), "utf8");
  const found = {};
  const look = async (name, isPictured = true) => {
    if (asked.pictures && isPictured) await page.screenshot({ path: join(asked.pictures, `${name}.png`), fullPage: true });
    found[name] = await page.evaluate(async (source) => {
      if (!globalThis.axe) new Function(source)();
      const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
      return violations.map((one) => ({ id: one.id, impact: one.impact, nodes: one.nodes.map((node) => node.html.slice(0, 200)) }));
    }, axe);
  };
  return { look, found };
}

/** Ask about recordings through the file button; what the history keeps of each is its answer. */
async function files() {
  await page.goto(asked.url);
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  const contents = await Promise.all(asked.clips.map((clip) => readFile(clip, "base64")));
  const rows = await page.evaluate(async (sounds) => {
    const input = document.querySelector("#file");
    const told = [];
    for (const sound of sounds) {
      localStorage.removeItem("edgecomp.history");
      const chosen = new DataTransfer();
      chosen.items.add(new File([Uint8Array.from(atob(sound), (letter) => letter.charCodeAt(0))], "clip.wav"));
      input.files = chosen.files;
      input.dispatchEvent(new Event("change"));
      for (let turn = 0; localStorage.getItem("edgecomp.history") === null; turn += 1) {
        const problem = document.querySelector("#home-problem");
        if (turn > 10_000 || !problem.hidden) throw new Error(problem.textContent || "no answer");
        await new Promise((done) => setTimeout(done, 1));
      }
      told.push(JSON.parse(localStorage.getItem("edgecomp.history"))[0]);
    }
    return told;
  }, contents);
  return { rows };
}

/** What stands on the screen that says that this device or a file cannot be used, or on the first one; one visit each. */
async function blocked() {
  const said = [];
  await context.addInitScript(() => delete Navigator.prototype.serviceWorker); // it would fetch by itself
  for (const damage of asked.damages ?? [""]) {
    const visit = await context.newPage();
    await visit.route("**/*", async (route) => {
      if (damage === "" || !route.request().url().endsWith(`/${damage}`)) return route.continue();
      const answer = await route.fetch();
      const body = Buffer.from(await answer.body());
      body[body.length >> 1] ^= 0x55;
      await route.fulfill({ response: answer, body });
    });
    await visit.goto(asked.url);
    await visit.waitForSelector("#blocked:not([hidden]), #home:not([hidden])", { timeout: 60_000 });
    const ready = await visit.isVisible("#home");
    if (ready) {
      await visit.click("#record");
      await visit.waitForSelector("#home-problem:not([hidden])", { timeout: 20_000 });
    }
    if (asked.pictures) await visit.screenshot({ path: join(asked.pictures, "blocked.png"), fullPage: true });
    said.push({ why: await visit.innerText("main"), ready });
    await visit.close();
  }
  return { said };
}

/** Visit once, cut the network, come back: the page, the self-test and an answer must be there. */
async function offline() {
  await page.goto(asked.url);
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  await page.waitForFunction(() => document.querySelector("#offline").textContent !== "");
  await context.setOffline(true);
  await page.evaluate(() => localStorage.removeItem("edgecomp.tested"));
  await page.reload();
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  const reached = await page.evaluate(() => fetch("not-there.txt").then(() => true, () => false));
  await page.setInputFiles("#file", asked.clips[0]);
  const row = await result();
  await page.reload();
  await page.waitForSelector("#home:not([hidden])");
  const kept = await page.locator("#entries li").count();
  await page.click("#forget");
  await page.click("#forget");
  const left = await page.locator("#entries li").count();
  const installable = await page.evaluate(async () => {
    const manifest = await (await fetch(document.querySelector("link[rel=manifest]").href)).json();
    const sizes = await Promise.all(manifest.icons.map(async (one) => (await fetch(one.src)).ok && one.sizes));
    return { name: manifest.name, display: manifest.display, sizes };
  });
  return { row, reached, kept, left, installable, footer: await page.innerText("footer") };
}

/** Visit, replace what is served, come back: the old version stays until the person takes the new one. */
async function update() {
  const caches = () => page.evaluate(() => globalThis.caches.keys());
  await page.goto(asked.url);
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  const before = await caches();
  await cp(asked.next, asked.served, { recursive: true, force: true });
  await page.reload();
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  await page.waitForSelector("#update:not([hidden])", { timeout: 60_000 });
  const runtime = () => page.evaluate(async () => (await fetch("model/facts.json")).json().then((facts) => facts.model_file));
  const held = await runtime();
  await page.click("#use-update");
  await page.waitForFunction(async (old) => (await globalThis.caches.keys()).every((key) => !old.includes(key)), before, { timeout: 60_000 });
  await page.waitForSelector("#home:not([hidden])", { timeout: 60_000 });
  return { before, held, after: await caches(), now: await runtime() };
}

async function result() {
  await page.waitForFunction(() => !document.querySelector("#result").hidden && localStorage.getItem("edgecomp.history"), null, {
    timeout: 30_000,
  });
  const [entry] = JSON.parse(await page.evaluate(() => localStorage.getItem("edgecomp.history")));
  return entry;
}

async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}
