// The outer page: says what this browser is, asks for jobs, gives each a fresh frame, and shows how far it is.

import { canDo, facts } from "./facts.js";

const tab = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const state = document.querySelector("#state");
const detail = document.querySelector("#detail");
let frame = null;

/** Ask for jobs until the other side is gone. */
async function main() {
  await post("hello", await facts());
  addEventListener("pagehide", () => navigator.sendBeacon(`gone?tab=${tab}`));
  const missing = canDo().missing;
  state.textContent = missing ? `This browser cannot do it: ${missing}` : "Ready. Waiting for edgecomp.";
  for (let failures = 0; failures < 5; ) {
    try {
      const answer = await fetch(`next?tab=${tab}`);
      if (answer.status === 410) break;
      if (!answer.ok) throw new Error(`${answer.status}`);
      failures = 0;
      if (answer.status === 200) begin(await answer.json());
    } catch {
      failures += 1;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
  frame?.remove();
  state.textContent = "Finished. You can close this page.";
  detail.textContent = "";
}

function begin(job) {
  frame?.remove();
  state.textContent = `Working: ${job.job}`;
  frame = document.createElement("iframe");
  frame.title = `job ${job.id}`;
  frame.hidden = true;
  frame.src = `job.html?tab=${tab}&id=${job.id}`;
  document.body.append(frame);
}

addEventListener("message", (message) => {
  if (message.origin !== location.origin || message.source !== frame?.contentWindow) return;
  detail.textContent = message.data.text;
  if (message.data.over) state.textContent = "Ready. Waiting for edgecomp.";
});

async function post(path, content) {
  const answer = await fetch(`${path}?tab=${tab}`, { method: "POST", body: JSON.stringify(content) });
  if (!answer.ok) throw new Error(`edgecomp answered ${answer.status}`);
}

main().catch((why) => {
  state.textContent = `This page lost edgecomp: ${why.message}. Open the address again.`;
});
