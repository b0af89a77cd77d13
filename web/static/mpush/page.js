// The page of Mpush: logs in as a device, keeps what comes, lists it, and acknowledges it.
//
// A message is kept by the browser before it is acknowledged: "ok" means that it is here. Text only ever becomes
// text, never HTML. Name and token lie in localStorage, messages in IndexedDB (kept.js), both until the log-out.

import { all, clear, forgetAuth, fromFrame, keep, markDone, rememberAuth, remove, safeLink } from "./kept.js";
import { isSubscribed, missing, subscribe, unsubscribe } from "./notify.js";
import { Session } from "./session.js";
import { language, say, sayAll } from "./words.js";

const PORT = 2245; // comet.mpush.port
const SHOWN = 500;
const LOGIN = "mpush.login"; // { name, token, group, server }
const at = (id) => document.getElementById(id);
const when = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });

let session = null;
let publicKey = ""; // of the server, for Web Push; "" = it has none

sayAll(document);
showState({ state: "idle" });
at("server").value = usualServer();
at("auto").checked = localStorage.getItem("mpush.auto") !== "no";
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
at("now").addEventListener("click", () => session?.tryNow());
at("logout").addEventListener("click", logOut);
at("notify").addEventListener("click", notify);
at("clear").addEventListener("click", () => clear().then(refresh));
at("auto").addEventListener("change", () => {
  localStorage.setItem("mpush.auto", at("auto").checked ? "yes" : "no");
  if (at("auto").checked) at("messages").querySelectorAll("button.ack").forEach((button) => button.click());
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  session?.tryNow();
  refresh(); // the service worker may have kept some
});
navigator.serviceWorker?.register("worker.js", { type: "module" }).catch(() => {}); // not allowed here: nothing but Web Push is lost
navigator.serviceWorker?.addEventListener("message", refresh);

const remembered = JSON.parse(localStorage.getItem(LOGIN) ?? "null");
if (remembered) {
  for (const [field, value] of Object.entries(remembered)) at(field).value = value;
  logIn(remembered);
}

/** Behind a proxy with a certificate a place beside the page, else the comet's own port. */
function usualServer() {
  if (location.protocol !== "https:") return `ws://${location.hostname}:${PORT}/`;
  return new URL("ws", location.href).href.replace("https:", "wss:");
}

/** From the form. Who comes under another name begins with an empty list. */
async function begin() {
  const login = Object.fromEntries(["name", "token", "group", "server"].map((field) => [field, at(field).value]));
  const before = JSON.parse(localStorage.getItem(LOGIN) ?? "null");
  if (before && before.name !== login.name) await clear();
  localStorage.setItem(LOGIN, JSON.stringify(login));
  logIn(login);
  at("inbox-title").focus();
}

function logIn(login) {
  session?.close();
  show("inbox");
  at("inbox-title").textContent = say("inbox", { name: login.name });
  refresh();
  session = new Session({ ...login, onState: showState, onMessage: receive, onLogin: loggedIn,
    onInfo: (text) => (at("told").textContent = say("server_says", { text })) });
}

async function logOut() {
  session?.close();
  session = null;
  localStorage.removeItem(LOGIN);
  at("token").value = "";
  showState({ state: "idle" });
  show("login-part");
  at("name").focus();
  await Promise.allSettled([clear(), forgetAuth(), unsubscribe()]);
  refresh();
}

function show(part) {
  at("login-part").hidden = part !== "login-part";
  at("inbox").hidden = part !== "inbox";
  at("login-error").hidden = true;
}

function showState({ state, reason = "", seconds }) {
  const known = ["unreachable", "taken", "silent", "bad_server"].includes(reason);
  const text = say(state, { reason: known ? say(reason, { server: at("server").value }) : reason, seconds });
  at("state").dataset.state = state;
  at("state-text").textContent = text;
  at("now").hidden = state !== "waiting";
  if (state !== "refused") return;
  show("login-part");
  at("login-error").textContent = text;
  at("login-error").hidden = false;
  at("token").focus();
}

async function loggedIn({ webpushPublicKey = "", auth }) {
  publicKey = webpushPublicKey;
  at("notify").hidden = true;
  await rememberAuth(auth).catch(() => {}); // nothing is kept here: then the worker cannot say that a copy came
  const lack = publicKey ? missing() : "";
  at("told").textContent = lack && say(lack);
  if (!publicKey || lack) return;
  if (await isSubscribed()) await notify();
  else at("notify").hidden = false;
}

/** Copies by Web Push from now on: what this browser's push service is given, the server is told. */
async function notify() {
  at("notify").disabled = true;
  at("told").textContent = say("subscribing");
  const { subscription, lack } = await subscribe(publicKey);
  if (subscription) session?.registerWebPush(subscription);
  at("notify").disabled = false;
  at("notify").hidden = Boolean(subscription);
  at("told").textContent = say(lack ?? "notified");
}

async function receive(data) {
  const message = fromFrame(data);
  if (!message) return;
  let kept;
  try {
    kept = await keep(message);
  } catch { // a full disk, or a private window: it comes again, here or elsewhere
    at("told").textContent = say("not_kept");
    return;
  }
  if (kept.isNew) showMessage(kept.message);
  if (kept.message.done || at("auto").checked) acknowledge(message.mid);
}

async function acknowledge(mid) {
  if (!session?.acknowledge(mid)) return;
  await markDone(mid);
  const item = at(`m${mid}`);
  item?.querySelector("button.ack")?.replaceWith(element("span", { className: "good", textContent: say("acknowledged") }));
}

async function refresh() {
  const messages = await all().catch(() => []);
  const kept = new Set(messages.map(({ mid }) => `m${mid}`));
  for (const item of [...at("messages").children]) if (!kept.has(item.id)) item.remove();
  messages.forEach(showMessage);
  showWhetherAny();
}

/** The newest first: mids have one length. One that was cut is shown anew once the whole of it is there. */
function showMessage(message) {
  const id = `m${message.mid}`;
  if (at(id)?.dataset.cut === String(message.cut)) return;
  at(id)?.remove();
  const older = [...at("messages").children].find((item) => item.id < id);
  at("messages").insertBefore(rendered(message), older ?? null);
  while (at("messages").children.length > SHOWN) at("messages").lastElementChild.remove();
  showWhetherAny();
}

function showWhetherAny() {
  const isEmpty = !at("messages").hasChildNodes();
  at("none").hidden = !isEmpty;
  at("clear").hidden = isEmpty;
}

function rendered(message) {
  const { mid, priority, tags, from } = message;
  const title = message.title || say("untitled");
  const time = new Date(Number(mid)); // a mid is the millisecond of its push
  const notes = [from && say("from", { name: from }), priority && say("priority", { priority }), ...tags].filter(Boolean);
  const item = element("li", { id: `m${mid}`, className: priority >= 4 ? "urgent" : "" }, [
    element("h3", { textContent: title, className: message.title ? "" : "untitled" }),
    element("div", { className: "meta" }, [
      element("time", { dateTime: time.toISOString(), textContent: when.format(time) }),
      ...notes.map((note) => element("span", { className: "tag", textContent: note })),
    ]),
    element("p", { className: hasColumns(message.content) ? "content columns" : "content", textContent: message.content }),
    element("div", { className: "actions" }, actions(message, title)),
  ]);
  item.dataset.cut = message.cut;
  return item;
}

/** It is a table that a command printed: `df -h | curl ...`. */
function hasColumns(content) {
  return content.split("\n").filter((line) => line.trim().includes("  ")).length > 1;
}

function actions({ mid, click, cut, done }, title) {
  const link = safeLink(click);
  const open = link && element("a", { href: link, target: "_blank", rel: "noopener noreferrer", textContent: say("open"),
    ariaLabel: say("open_it", { title }) });
  const told = cut // who acknowledged it would never see the rest
    ? element("span", { textContent: say("cut") })
    : done
    ? element("span", { className: "good", textContent: say("acknowledged") })
    : button("ack", "acknowledge", title, () => acknowledge(mid));
  return [open, told, button("link", "remove", title, () => take(mid))].filter(Boolean);
}

/** Off the list. What is not acknowledged comes again. */
async function take(mid) {
  await remove(mid);
  at(`m${mid}`)?.remove();
  showWhetherAny();
  at("inbox-title").focus();
}

function button(className, word, title, action) {
  const made = element("button", { type: "button", className, textContent: say(word), ariaLabel: say(`${word}_it`, { title }) });
  made.addEventListener("click", action);
  return made;
}

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
