// Web Push, where the browser has it: a subscription at its push service, for the server's key.

const PATIENCE = 10_000; // ms: some browsers have no push service, and never say so

/** What this browser lacks, as a word of words.js; "" = nothing that is known before it is tried. */
export function missing() {
  if (!isSecureContext) return "needs_https";
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) return "no_web_push";
  return Notification.permission === "denied" ? "not_allowed" : "";
}

export async function isSubscribed() {
  return Boolean(await current());
}

/** { subscription }, after asking the reader; or { lack }: a word of words.js. */
export async function subscribe(publicKey) {
  if ((await Notification.requestPermission()) !== "granted") return { lack: "not_allowed" };
  let timer;
  const tooLong = new Promise((_, reject) => (timer = setTimeout(reject, PATIENCE)));
  try {
    return { subscription: await Promise.race([subscribed(bytes(publicKey)), tooLong]) };
  } catch {
    return { lack: "no_push_service" };
  } finally {
    clearTimeout(timer);
  }
}

/** A new key of the server needs a new one. */
async function subscribed(key) {
  const before = await current();
  if (before && sameBytes(new Uint8Array(before.options.applicationServerKey ?? []), key)) return before.toJSON();
  await before?.unsubscribe();
  const { pushManager } = await navigator.serviceWorker.ready;
  const made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  return made.toJSON();
}

export async function unsubscribe() {
  await (await current())?.unsubscribe();
}

async function current() {
  const registration = await navigator.serviceWorker?.getRegistration();
  return (await registration?.pushManager?.getSubscription()) ?? null;
}

function bytes(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function sameBytes(one, other) {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
