/**
 * The appmsgsrv client for browsers and Node: one ES module, no build step, no dependency.
 *
 *     import { subscribe } from "./appmsg.js";
 *
 *     const subscription = subscribe("u1@user", {
 *       web: "http://127.0.0.1:8090",
 *       onMessage: (message) => console.log(message.mid, message.msg),
 *     });
 *     subscription.close();
 *
 * It asks web which comet has the key, subscribes there, and comes back after every loss: it names
 * the id of the last stored message that was handled, so nothing is missed and nothing comes twice, also
 * after a reload of the page. A live message, one that is not stored, moves no position: a stored one
 * with a lower id may still come after it. What is said on the line, and where to go after which ending,
 * is in docs/protocol.md; the Python client has the same table (appmsg_client/protocol.py), and the
 * tests give both the same cases.
 *
 * @module appmsg
 */

/**
 * @typedef {object} Message
 * @property {number} mid    Its id: an integer below 2^53, greater than those of all stored before it.
 * @property {any} msg       What was pushed.
 * @property {boolean} live  It is not stored: it comes now or never, and nobody resumes from its id.
 * @property {string} raw    The whole JSON text, as it came.
 */

/**
 * @typedef {object} State
 * @property {"connecting" | "online" | "waiting" | "refused" | "closed"} state
 * @property {string} [server]   Of "online": where.
 * @property {number} [code]     Of "waiting" and "refused": the close code; 1006 the line broke.
 * @property {string} [reason]   In words.
 * @property {number} [retryIn]  Of "waiting": milliseconds until the next try.
 */

/**
 * @typedef {object} Options
 * @property {string} [web]        Where to ask for the comet of the key: an http(s) URL.
 * @property {string} [server]     The comet itself, ws://host:port/sub; then web is not asked.
 * @property {string} [token]      The key's ticket.
 * @property {number} [mid]        Start after this stored id; 0 = all that is kept. Without it: where
 *                                 this browser stopped, or with what comes next.
 * @property {number} [heartbeat]  Seconds, 30 or more; 60 by default, because a page in the
 *                                 background may run its timers once a minute only.
 * @property {(message: Message) => void} [onMessage]  Called in order. It must not wait: the next
 *                                 one follows. A message counts as handled once it returns.
 * @property {(state: State) => void} [onState]
 * @property {Pick<Storage, "getItem" | "setItem"> | null} [storage]  Keeps the id per key: localStorage
 *                                 in a browser. null: only as long as this object.
 * @property {any} [WebSocket]     For Node before 22: `import { WebSocket } from "ws"`.
 * @property {typeof fetch} [fetch]
 */

const NORMAL = 1000, PROTOCOL_FAULT = 1002, LOST = 1006; // RFC 6455 section 7.4
const MOVED = 4000, BAD_REQUEST = 4400, BAD_TICKET = 4401;
const RETURN_TO_SAME = new Set([4001, 4002, 4003, 4004]);
const REFUSALS = {
  "-p\r\n": { code: BAD_REQUEST, reason: "bad parameter" },
  "-a\r\n": { code: BAD_TICKET, reason: "ticket refused" },
  "-n\r\n": { code: MOVED, reason: "moved" },
};
const BEAT = "+h\r\n";

const PAUSE_STEP = 500, PAUSE_LIMIT = 30_000; // ms
const ANSWER_TIMEOUT = 10_000; // ms for a look-up, and from dialling to the welcome
const GRACE = 15_000; // ms of silence beyond the heartbeat: an answer is lost, not only late
const PROBE_TIMEOUT = 5_000; // ms for an answer after the device woke up
const WAKE_INTERVAL = 1_000; // ms; a network that flaps is no reason to hammer
const BEAT_EARLY = 0.9; // of the heartbeat; the comet allows 5 s of delay

/**
 * Subscribe to `key` until `close()` or a refusal.
 *
 * @param {string} key
 * @param {Options} options
 * @returns {Subscription}
 * @throws {TypeError | RangeError} an option is missing or out of its range
 */
export function subscribe(key, options) {
  return new Subscription(key, options);
}

/** One key's subscription. Made by `subscribe`. */
export class Subscription {
  #options;
  #key;
  #web; // null if `server` was given
  #fixed;
  #server; // where to go next; null: ask web
  #storage;
  #mid; // of the last stored message that was handled; undefined: none yet
  #liveMid = -1; // of the last live message
  #acknowledged = 0;
  #tries = 0; // connections in a row that proved nothing
  #line = null;
  #retry; // timer of the next try
  #triedAt = -Infinity;
  #round = 0; // grows with every try, so that a late answer of an old one is known as such
  #state = { state: "connecting" };
  #wake = () => this.#wakeUp();

  constructor(key, options) {
    this.#options = checked(key, options);
    this.#key = key;
    this.#web = options.server ? null : webUrl(options.web);
    this.#fixed = this.#server = options.server ?? null;
    this.#storage = options.storage === undefined ? browserStorage() : options.storage;
    this.#mid = options.mid ?? this.#recall();
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    queueMicrotask(() => this.#try()); // the caller has its object before it hears of a state
  }

  /** Id of the last stored message that was handled, undefined before the first: where to resume. */
  get mid() {
    return this.#mid;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /**
   * Tell the comet that everything up to `mid` was handled; after the next welcome if there is no
   * connection now.
   * @param {number} mid
   */
  acknowledge(mid) {
    this.#acknowledged = Math.max(this.#acknowledged, mid);
    this.#tellAcknowledged();
  }

  /** End it. Nothing is called any more but `onState`, once, with "closed". */
  close() {
    if (!this.#isOver()) {
      this.#stop({ state: "closed" });
    }
  }

  async #try() {
    if (this.#isOver()) return;
    clearTimeout(this.#retry);
    const round = ++this.#round;
    this.#triedAt = performance.now();
    this.#show({ state: "connecting" });
    let since;
    try {
      if (this.#web && this.#mid === undefined) since = await this.#now();
      this.#server ??= await this.#lookUp();
    } catch (error) {
      if (round === this.#round) this.#ended({ code: error.code ?? LOST, reason: error.message });
      return;
    }
    if (round === this.#round) this.#dial(since);
  }

  #dial(since) {
    const { heartbeat = 60, token, WebSocket = globalThis.WebSocket } = this.#options;
    const url = new URL(this.#server);
    if (url.pathname === "/") url.pathname = "/sub";
    url.search = new URLSearchParams({
      key: this.#key,
      heartbeat,
      ver: 2,
      ...(token && { token }),
      ...(this.#mid !== undefined && { mid: this.#mid }),
    });
    let socket;
    try {
      socket = new WebSocket(url.href);
    } catch (error) { // a page on https may not open ws:
      this.#ended({ code: LOST, reason: error.message });
      return;
    }
    const line = { socket, since, silence: heartbeat * 1000 + GRACE };
    this.#line = line;
    socket.onmessage = (event) => this.#hear(line, event.data);
    socket.onclose = (event) => this.#hangUp(line, event);
    socket.onerror = () => { // a close follows, but not in Node 20 if it could not connect
      if (!line.welcomed) this.#hangUp(line, { code: LOST, reason: "cannot connect" });
    };
    this.#watch(line, ANSWER_TIMEOUT, "no connection");
  }

  #hear(line, text) {
    let heard;
    try {
      heard = readText(text);
    } catch (fault) {
      this.#hangUp(line, { code: PROTOCOL_FAULT, reason: fault.message });
      return;
    }
    this.#watch(line, line.silence, "silent");
    if (heard.code) {
      line.announced = heard; // the close that follows may say more
      this.#watch(line, ANSWER_TIMEOUT, "silent");
    } else if (heard.mid !== undefined) {
      line.proved = true;
      this.#deliver(heard);
    } else if (line.welcomed) {
      line.proved = true;
    } else {
      this.#welcome(line);
    }
  }

  #welcome(line) {
    line.welcomed = true;
    const { heartbeat = 60 } = this.#options;
    line.beat = setInterval(() => line.socket.send("h"), heartbeat * 1000 * BEAT_EARLY);
    this.#tellAcknowledged();
    this.#show({ state: "online", server: this.#server });
  }

  #deliver(message) {
    const { mid, live } = message;
    const stored = this.#mid ?? -1;
    if (mid <= (live ? Math.max(stored, this.#liveMid) : stored)) return;
    this.#options.onMessage?.(message);
    if (live) {
      this.#liveMid = mid;
      return;
    }
    this.#mid = mid;
    try {
      this.#storage?.setItem(storageName(this.#key), String(mid));
    } catch {
      // full, or forbidden: then the id lives as long as this object
    }
  }

  /** `line` is over, by the comet's close or by our own judgement. */
  #hangUp(line, { code, reason }) {
    this.#drop(line);
    if (line !== this.#line) return;
    this.#line = null;
    if (line.welcomed) this.#mid ??= line.since; // what comes in the pause is newer than this
    const told = line.announced && code < MOVED ? line.announced : { code, reason };
    this.#ended({ ...told, welcomed: line.welcomed, proved: line.proved });
  }

  #ended({ code, reason = "", welcomed = false, proved = false }) {
    this.#tries = proved ? 0 : this.#tries + 1;
    const move = nextMove({ code, reason }, this.#server, { welcomed, tries: this.#tries });
    if (move.stop) {
      this.#stop({ state: "refused", code, reason });
      return;
    }
    this.#server = move.server ?? this.#fixed;
    const retryIn = move.atOnce ? 0 : pause(this.#tries);
    this.#retry = setTimeout(() => this.#try(), retryIn);
    this.#show({ state: "waiting", code, reason: reason || "connection lost", retryIn });
  }

  #stop(state) {
    this.#round++;
    clearTimeout(this.#retry);
    if (this.#line) this.#drop(this.#line);
    this.#line = null;
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#show(state);
  }

  #drop(line) {
    clearInterval(line.beat);
    clearTimeout(line.watch);
    line.socket.onmessage = line.socket.onclose = null;
    line.socket.onerror = () => {}; // `ws` throws what nobody listens to
    line.socket.close(NORMAL);
  }

  #watch(line, ms, what) {
    clearTimeout(line.watch);
    const reason = `${what} for ${Math.round(ms / 1000)} s`;
    line.watch = setTimeout(() => this.#hangUp(line, { code: LOST, reason }), ms);
  }

  /** The device is back: what waits need not wait any longer, and an open line may be a dead one. */
  #wakeUp() {
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.#state.state === "waiting") {
      if (performance.now() - this.#triedAt >= WAKE_INTERVAL) this.#try();
    } else if (this.#line?.welcomed) {
      this.#line.socket.send("h");
      this.#watch(this.#line, PROBE_TIMEOUT, "silent");
    }
  }

  #tellAcknowledged() {
    if (this.#acknowledged && this.#line?.welcomed) {
      this.#line.socket.send(`{"ack":[${this.#acknowledged}]}`);
    }
  }

  async #lookUp() {
    const path = `/1/server/get?k=${encodeURIComponent(this.#key)}&p=1`;
    const { server } = await this.#ask(path);
    const scheme = this.#web.startsWith("https:") ? "wss" : "ws";
    const url = serverUrl(String(server).includes("://") ? server : `${scheme}://${server}/sub`);
    if (!url) throw new Error(`web named a strange server: ${server}`);
    return url;
  }

  /** The id of this moment, so that a line that breaks before its first message leaves no gap. */
  async #now() {
    try {
      const { timeid } = await this.#ask("/1/time/get");
      return isMid(timeid) ? timeid : undefined;
    } catch {
      return undefined;
    }
  }

  async #ask(path) {
    const { fetch = globalThis.fetch } = this.#options;
    const response = await fetch(this.#web + path, {
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_TIMEOUT),
    });
    if (!response.ok) throw new Error(`web answered with HTTP status ${response.status}`);
    const { ret, data } = await response.json();
    if (ret === 65534) throw Object.assign(new Error("web refused the key"), { code: BAD_REQUEST });
    if (ret !== 0 || !data) throw new Error(`web answered with ret ${ret}`);
    return data;
  }

  #recall() {
    try {
      const kept = Number(this.#storage?.getItem(storageName(this.#key)) ?? undefined);
      return isMid(kept) ? kept : undefined;
    } catch {
      return undefined; // forbidden
    }
  }

  #show(state) {
    this.#state = state;
    this.#options.onState?.(state);
  }

  #isOver() {
    return this.#state.state === "refused" || this.#state.state === "closed";
  }
}

/**
 * What one text of the comet means: `{}` for welcome and heartbeat, a Message, or `{code, reason}`
 * for a refusal.
 * @throws {Error} it is none of these
 */
export function readText(text) {
  if (text === BEAT) return {};
  if (Object.hasOwn(REFUSALS, text)) return REFUSALS[text];
  let fields;
  try {
    fields = JSON.parse(text);
  } catch {
    // told below
  }
  if (!isMid(fields?.mid) || !Object.hasOwn(fields, "msg")) {
    throw new Error(`neither a reply nor a message: ${String(text).slice(0, 80)}`);
  }
  return { mid: fields.mid, msg: fields.msg, live: fields.live === true, raw: text };
}

/**
 * Where to go after an ending.
 * @param {{code: number, reason: string}} ending
 * @param {string | null} server  where the connection was, or should have been
 * @param {{welcomed: boolean, tries: number}} how  `tries`: connections in a row that proved nothing
 * @returns {{stop: boolean, server: string | null, atOnce: boolean}}  server null: ask web
 */
export function nextMove({ code, reason }, server, { welcomed, tries }) {
  if (code >= BAD_REQUEST && code <= 4999) return { stop: true, server: null, atOnce: false };
  if (code === MOVED) {
    return { stop: false, server: movedTo(reason, server), atOnce: tries <= 1 };
  }
  const same = RETURN_TO_SAME.has(code) || (code === LOST && welcomed);
  return { stop: false, server: same ? server : null, atOnce: false };
}

/**
 * Milliseconds before the n-th try: random between 0 and min(30 s, 0.5 s × 2^n).
 * @param {number} tries
 * @param {number} chance  in [0, 1)
 */
export function pause(tries, chance = Math.random()) {
  return chance * Math.min(PAUSE_LIMIT, PAUSE_STEP * 2 ** Math.min(tries, 16));
}

function movedTo(reason, server) {
  const url = serverUrl(/^moved (\S+)$/.exec(reason)?.[1]);
  // The ticket goes along: never from TLS to a bare line because somebody said so.
  const leavesTls = server?.startsWith("wss:") && !url?.startsWith("wss:");
  return leavesTls ? null : url;
}

/** `text` if it is the ws:// or wss:// URL of a comet without query, else null. */
function serverUrl(text) {
  if (typeof text !== "string" || !/^wss?:\/\/[^/?#]/.test(text) || !URL.canParse(text)) return null;
  const { search, hash } = new URL(text);
  return search || hash ? null : text;
}

function webUrl(web) {
  const url = new URL(web, globalThis.location?.href).href;
  return url.replace(/\/$/, "");
}

function isMid(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

function storageName(key) {
  return `appmsg.mid.${key}`;
}

function browserStorage() {
  if (globalThis.document === undefined) return null; // Node's localStorage is one file for all
  try {
    return globalThis.localStorage;
  } catch {
    return null; // the user has forbidden it
  }
}

function checked(key, options) {
  const { web, server, mid, heartbeat = 60, WebSocket = globalThis.WebSocket } = options;
  if (typeof key !== "string" || !key) throw new TypeError("key: expected the key to subscribe to");
  if (server === undefined && web === undefined) {
    throw new TypeError("web: expected the URL of a web node, or give `server`");
  }
  if (server !== undefined && !serverUrl(server)) {
    throw new TypeError(`server: got ${server}, expected ws://host:port or wss://host:port`);
  }
  if (!(Number.isInteger(heartbeat) && heartbeat >= 30)) {
    throw new RangeError(`heartbeat: got ${heartbeat}, expected 30 seconds or more`);
  }
  if (mid !== undefined && !isMid(mid)) {
    throw new RangeError(`mid: got ${mid}, expected an integer from 0 to 2^53 - 1`);
  }
  if (typeof WebSocket !== "function") {
    throw new TypeError("WebSocket: this runtime has none; give one, such as that of `npm i ws`");
  }
  return options;
}
