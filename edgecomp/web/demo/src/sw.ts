// The service worker: the page works without a network after its first visit, and may use threads on any host.

declare const FILES: string[];
declare const VERSION: string;

interface Lifecycle extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Lifecycle {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Worker extends EventTarget {
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: "install" | "activate", listener: (event: Lifecycle) => void): void;
  addEventListener(kind: "fetch", listener: (event: Fetching) => void): void;
  addEventListener(kind: "message", listener: (event: MessageEvent) => void): void;
}

const worker = self as unknown as Worker;
const PREFIX = "edgecomp-demo-";
const CACHE = PREFIX + VERSION;

worker.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })))));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => worker.clients.claim()));
});

worker.addEventListener("message", (event) => {
  if (event.data === "use the new version") void worker.skipWaiting();
});

worker.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && new URL(event.request.url).origin === location.origin) {
    event.respondWith(answer(event.request));
  }
});

/** Answer from this version's cache; the runtime's files come into it when they are first asked for. */
async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const held = await cache.match(request, { ignoreSearch: true });
  if (held !== undefined) return isolated(held);
  const fresh = await fetch(request);
  if (fresh.ok && new URL(request.url).pathname.includes("/runtime/")) await cache.put(request, fresh.clone());
  return isolated(fresh);
}

/** Add the headers that threads need, which many a host does not send. */
function isolated(answered: Response): Response {
  if (answered.type === "opaque" || answered.status === 0) return answered;
  const headers = new Headers(answered.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(answered.body, { status: answered.status, statusText: answered.statusText, headers });
}

async function forgetOthers(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}
