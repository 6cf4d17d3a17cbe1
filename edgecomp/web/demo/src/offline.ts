// Going offline: the service worker is there before the model is loaded, so that nothing is fetched twice.

const PATIENCE_MS = 8000;

/**
 * Register the service worker and wait until it holds the page; where there is none, the page works online.
 *
 * onOffline: called when the page will work without a network
 * onUpdate:  called with what to do to use a version that waits
 */
export async function goOffline(onOffline: () => void, onUpdate: (use: () => void) => void): Promise<void> {
  const container = navigator.serviceWorker;
  if (container === undefined) return;
  try {
    const had = container.controller !== null;
    const registration = await container.register("sw.js");
    const offer = () => {
      if (registration.waiting !== null && had) onUpdate(() => replace(container, registration));
    };
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", offer);
    });
    offer();
    if (!had) await Promise.race([controlled(container), new Promise((done) => setTimeout(done, PATIENCE_MS))]);
    if (container.controller !== null) onOffline();
  } catch {
    return; // forbidden here, as in some private windows: the page works online
  }
}

function controlled(container: ServiceWorkerContainer): Promise<void> {
  return new Promise((resolve) => {
    container.addEventListener("controllerchange", () => resolve(), { once: true });
    if (container.controller !== null) resolve();
  });
}

function replace(container: ServiceWorkerContainer, registration: ServiceWorkerRegistration): void {
  container.addEventListener("controllerchange", () => location.reload(), { once: true });
  registration.waiting?.postMessage("use the new version");
}
