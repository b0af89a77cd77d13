// The demo page: appmsg.js on the left, POST /v2/push on the right. Nothing is kept but the key (in
// the address, so that a reload subscribes again) and the last id (by appmsg.js).

import { subscribe } from "/static/appmsg.js";

const SHOWN = 100; // messages on the page; older ones leave it
const PUSH_TIMEOUT = 30_000; // ms
const at = (id) => document.getElementById(id);

let subscription = null;
let received = 0;

at("listen").addEventListener("submit", (event) => {
  event.preventDefault();
  if (subscription) {
    leave();
  } else {
    listen(at("key").value.trim(), at("begin").value);
  }
});
at("forget").addEventListener("click", () => {
  localStorage.removeItem(`appmsg.mid.${at("key").value.trim()}`);
  at("position").hidden = true;
});
at("auto").addEventListener("change", () => subscription?.mid && acknowledge(subscription.mid));
at("push").addEventListener("submit", (event) => {
  event.preventDefault();
  push();
});
at("push").addEventListener("input", showCommand);
at("msg").addEventListener("input", checkMessage);
at("msg").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("push").requestSubmit();
});
at("key").addEventListener("input", () => {
  at("to").value = at("key").value;
  showCommand();
});
at("copy").addEventListener("click", copyCommand);

const named = decodeURIComponent(location.hash.slice(1));
if (named) {
  at("key").value = at("to").value = named;
  listen(named, "last");
}
showCommand();

function listen(key, begin) {
  history.replaceState(null, "", `#${encodeURIComponent(key)}`);
  at("key").disabled = at("begin").disabled = at("ticket").disabled = true;
  at("subscribe").textContent = "Unsubscribe";
  subscription = subscribe(key, {
    web: location.origin,
    token: at("ticket").value || undefined,
    mid: begin === "kept" ? 0 : undefined,
    ...(begin === "next" && { storage: startingNow() }),
    onMessage: show,
    onState: showState,
  });
}

/** A storage that remembers for the next time, and does not for this one. */
function startingNow() {
  return { getItem: () => null, setItem: (name, mid) => localStorage.setItem(name, mid) };
}

function leave() {
  subscription.close();
  over();
  history.replaceState(null, "", location.pathname);
}

function over() {
  subscription = null;
  at("key").disabled = at("begin").disabled = at("ticket").disabled = false;
  at("subscribe").textContent = "Subscribe";
}

function showState({ state, server, reason, code, retryIn }) {
  const texts = {
    connecting: "Connecting …",
    online: `Connected to ${server}`,
    waiting: `${reason} (${code}); next try in ${((retryIn ?? 0) / 1000).toFixed(1)} s`,
    refused: `Refused: ${reason} (${code})`,
    closed: "Not subscribed",
  };
  at("state").dataset.state = state;
  at("state-text").textContent = texts[state];
  if (state === "refused") over();
  showPosition();
}

function showPosition() {
  const mid = subscription?.mid;
  if (mid === undefined) return;
  at("mid").textContent = mid;
  at("position").hidden = false;
}

function show({ mid, msg }) {
  const item = element("li", { className: "new", id: `m${mid}` });
  const told = element("span", { className: "told" });
  told.append(button("Acknowledge", () => acknowledge(mid)));
  const when = new Date(mid / 1000); // an id is the microsecond of its push
  item.append(
    element("div", { className: "meta" }, [
      element("time", { dateTime: when.toISOString(), textContent: when.toLocaleTimeString() }),
      element("code", { textContent: mid }),
      told,
    ]),
    element("pre", { textContent: pretty(msg) }),
  );
  at("messages").prepend(item);
  while (at("messages").children.length > SHOWN) at("messages").lastElementChild.remove();
  at("none").hidden = true;
  at("count").textContent = ++received;
  queueMicrotask(() => { // once it counts as handled
    showPosition();
    if (at("auto").checked) acknowledge(mid);
  });
}

/** On one line if it fits. */
function pretty(msg) {
  const line = JSON.stringify(msg);
  return line.length <= 60 ? line : JSON.stringify(msg, null, 2);
}

/** One acknowledgement covers what came before it. */
function acknowledge(mid) {
  if (!subscription) return;
  subscription.acknowledge(mid);
  for (const item of at("messages").children) {
    if (Number(item.id.slice(1)) > mid) continue;
    const told = item.querySelector(".told");
    told.textContent = "acknowledged";
    told.classList.add("good");
  }
}

async function push() {
  if (!checkMessage()) return;
  const headers = { "Content-Type": "application/json" };
  if (at("token").value) headers.Authorization = `Bearer ${at("token").value}`;
  try {
    const response = await fetch("/v2/push", {
      method: "POST",
      headers,
      body: orderText(),
      signal: AbortSignal.timeout(PUSH_TIMEOUT),
    });
    const answer = await response.json();
    showAnswer(response.ok ? answer.results : null, answer);
  } catch (error) {
    showAnswer(null, { title: "No answer", detail: error.message });
  }
}

/** The request, with the message as it was typed: numbers of any size stay what they are. */
function orderText() {
  const names = at("to").value.split(/[\s,]+/).filter(Boolean);
  const to = JSON.stringify(names.length === 1 ? names[0] : names);
  return `{"to":${to},"msg":${at("msg").value.trim()},"ttl":${JSON.stringify(at("ttl").value)}}`;
}

function showAnswer(results, problem) {
  if (!results) {
    const text = `${problem.title ?? "Refused"}: ${problem.detail ?? problem.status ?? ""}`;
    at("answer").replaceChildren(element("p", { className: "error", textContent: text }));
    return;
  }
  const table = element("table", {}, [
    element("caption", { textContent: `Pushed at ${new Date().toLocaleTimeString()}` }),
    row("th", ["Name", "Kept", "Online", "Message id"]),
    ...results.slice(0, SHOWN).map(({ name, stored, online, id, error }) =>
      row("td", error ? [name, "no", "", error.detail] : [name, stored ? "yes" : "no", online, id]),
    ),
  ]);
  at("answer").replaceChildren(table);
}

function checkMessage() {
  let problem = "";
  try {
    JSON.parse(at("msg").value);
  } catch (error) {
    problem = `Not JSON yet: ${error.message}`;
  }
  at("msg-error").textContent = problem;
  at("msg-error").hidden = !problem;
  at("msg").setAttribute("aria-invalid", String(Boolean(problem)));
  return !problem;
}

function showCommand() {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const token = at("token").value ? ` -H "Authorization: Bearer $TOKEN"` : "";
  at("curl").textContent = `curl${token} -d ${quoted(orderText())} ${location.origin}/v2/push`;
  at("copied").textContent = "";
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("copied").textContent = "Copied";
  } catch { // not allowed: let the reader do it
    getSelection().selectAllChildren(at("curl"));
    at("copied").textContent = "Selected: press Ctrl C";
  }
}

function button(text, action) {
  const made = element("button", { type: "button", className: "link", textContent: text });
  made.addEventListener("click", action);
  return made;
}

function row(kind, cells) {
  const made = cells.map((text) => element(kind, { textContent: text ?? "" }));
  if (kind === "th") made.forEach((cell) => (cell.scope = "col"));
  return element("tr", {}, made);
}

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
