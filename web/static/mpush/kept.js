// The messages that this browser has, in IndexedDB: the page and the service worker share them. By mid, which is
// unique for a device; who logs in under another name begins with none.
//
//   { mid: "1557901952810", title, content, priority?, tags?, click?, from?, done: false }

const LIMIT = 500; // messages; the oldest go

let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("mpush", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("messages", { keyPath: "mid" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

/** Run `work(store)` in one transaction; its result once that is on disk. */
async function transact(mode, work) {
  const transaction = (await open()).transaction("messages", mode, { durability: "strict" });
  return new Promise((resolve, reject) => {
    let result;
    transaction.oncomplete = () => resolve(result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
    work(transaction.objectStore("messages"), (value) => (result = value));
  });
}

/** Keep a message; the one that is kept, and whether it is new. One that is there already stays as it is. */
export function keep(message) {
  return transact("readwrite", (store, answer) => {
    store.get(message.mid).onsuccess = ({ target }) => {
      answer({ message: target.result ?? message, isNew: !target.result });
      if (!target.result) store.add(message);
    };
    store.getAllKeys().onsuccess = ({ target }) => {
      for (const mid of target.result.slice(0, -LIMIT)) store.delete(mid); // mids have one length: oldest first
    };
  });
}

/** It is acknowledged. */
export function markDone(mid) {
  return transact("readwrite", (store) => {
    store.get(mid).onsuccess = ({ target }) => target.result && store.put({ ...target.result, done: true });
  });
}

export function remove(mid) {
  return transact("readwrite", (store) => store.delete(mid));
}

export function clear() {
  return transact("readwrite", (store) => store.clear());
}

/** All, oldest first. */
export function all() {
  return transact("readonly", (store, answer) => {
    store.getAll().onsuccess = ({ target }) => answer(target.result);
  });
}

/** A MESSAGE of version 2.2, as it is kept; null: it is none. */
export function fromFrame(data) {
  const { mid, message, from } = data ?? {};
  if (typeof mid !== "string" || typeof message !== "object" || message === null) return null;
  return {
    mid,
    title: text(message.text),
    content: text(message.desp),
    priority: Number.isInteger(message.priority) ? message.priority : null,
    tags: Array.isArray(message.tags) ? message.tags.filter((tag) => typeof tag === "string") : [],
    click: text(message.click ?? message.extra?.scheme), // extra.scheme: of the original's page
    from: from?.method === "websocket" ? text(from.name) : "",
    done: false,
  };
}

function text(value) {
  return typeof value === "string" ? value : "";
}

/** A link that may be opened; null: none, or one that would run here. */
export function safeLink(link) {
  try {
    const url = new URL(link);
    return ["http:", "https:", "mailto:", "tel:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
