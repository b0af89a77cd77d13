// What this browser has, in IndexedDB: the page and the service worker share it.
//
//   messages   { mid: "1557901952810", title, content, priority?, tags?, click?, from?, cut, done: false }
//   login      "auth": what proves to the server, for 30 days, that this is the device
//
// Messages by mid, which is unique for a device; who logs in under another name begins with none. One that is `cut` came
// by Web Push, which takes 4 KB: the socket brings the whole of it.

const LIMIT = 500; // messages; the oldest go

let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("mpush", 2);
    request.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion < 1) request.result.createObjectStore("messages", { keyPath: "mid" });
      request.result.createObjectStore("login");
    };
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close(); // a newer page may be open, too
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });
  return opening;
}

/** Run `work(store)` in one transaction; its result once that is on disk. */
async function transact(mode, work, name = "messages") {
  const transaction = (await open()).transaction(name, mode, { durability: "strict" });
  return new Promise((resolve, reject) => {
    let result;
    transaction.oncomplete = () => resolve(result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
    work(transaction.objectStore(name), (value) => (result = value));
  });
}

/** Keep a message; the one that is kept, and whether it is new. One that is there already stays, unless it was cut. */
export function keep(message) {
  return transact("readwrite", (store, answer) => {
    store.get(message.mid).onsuccess = ({ target: { result: known } }) => {
      const isNew = !known || (known.cut && !message.cut);
      answer({ message: isNew ? message : known, isNew });
      if (isNew) store.put(message);
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

export function rememberAuth(auth) {
  return transact("readwrite", (store) => store.put(auth, "auth"), "login");
}

/** Undefined: nobody has logged in. */
export function recallAuth() {
  return transact("readonly", (store, answer) => {
    store.get("auth").onsuccess = ({ target }) => answer(target.result);
  }, "login");
}

export function forgetAuth() {
  return transact("readwrite", (store) => store.clear(), "login");
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
    cut: message.cut === true,
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
