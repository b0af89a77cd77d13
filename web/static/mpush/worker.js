// The service worker: the page opens without a network, and what comes by Web Push is kept and shown while no page is open.
//
// A copy that came so is not acknowledged: the socket brings the message once more, and the page acknowledges it then. The
// server hears that it came (MESSAGE_WEBPUSH_CALLBACK), at the address of the page.

import { fromFrame, keep, recallAuth, safeLink } from "./kept.js";

const SHELL = "mpush-2";
const FILES = ["./", "page.js", "page.css", "kept.js", "notify.js", "session.js", "words.js", "icon.svg", "icon-192.png",
  "icon-512.png", "manifest.webmanifest"];

addEventListener("install", (event) => {
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(FILES)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  event.waitUntil(clients.claim());
});

// The network first: a node that was updated serves its new page at once.
addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || !event.request.url.startsWith(registration.scope)) return;
  event.respondWith(fresh(event.request).catch(async () => (await caches.match(event.request, { ignoreSearch: true })) ?? Response.error()));
});

async function fresh(request) {
  const response = await fetch(request);
  if (response.ok) await (await caches.open(SHELL)).put(request, response.clone());
  return response;
}

addEventListener("push", (event) => {
  event.waitUntil(arrived(event.data));
});

async function arrived(data) {
  let message = null;
  try {
    const packet = data.json();
    message = fromFrame(packet.cmd === "MESSAGE" ? packet.data : packet);
  } catch {
    // not ours; a browser wants something shown even so
  }
  if (message) await keep(message).catch(() => {});
  const pages = await clients.matchAll({ type: "window" });
  for (const page of pages) page.postMessage("kept");
  await registration.showNotification(message?.title || "Mpush", {
    body: message?.content ?? "",
    tag: message?.mid, // one that comes twice is shown once
    icon: "icon-192.png",
    requireInteraction: (message?.priority ?? 3) >= 5,
    data: { click: message?.click ?? "" },
  });
  if (message) await tell(message.mid).catch(() => {}); // nobody waits for it for long
}

async function tell(mid) {
  const auth = await recallAuth();
  if (!auth) return;
  await fetch("./", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ cmd: "MESSAGE_WEBPUSH_CALLBACK", auth, data: { mid } }),
  });
}

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(openPage(safeLink(event.notification.data?.click)));
});

async function openPage(link) {
  if (link) return clients.openWindow(link);
  const [page] = await clients.matchAll({ type: "window" });
  return page ? page.focus() : clients.openWindow(registration.scope);
}
