// Web Push, where the browser has it: a subscription at its push service, for the server's key.

/** Whether this browser could. It needs https, or localhost. */
export function mayAsk() {
  return "serviceWorker" in navigator && "PushManager" in window && Notification.permission !== "denied";
}

export async function isSubscribed() {
  return Boolean(await current());
}

/** The subscription, after asking the reader; null: not allowed. A new key of the server needs a new one. */
export async function subscribe(publicKey) {
  if ((await Notification.requestPermission()) !== "granted") return null;
  const key = bytes(publicKey);
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
