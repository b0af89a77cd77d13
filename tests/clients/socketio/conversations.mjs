// What others' Socket.IO clients say to a comet, and must hear.
//
//   node conversations.mjs socket.io-client-4 http://127.0.0.1:3000 http://127.0.0.1:3001
//
// The second server pings every 300 ms and waits 2 s. Conversations run at the same time; each prints
// one line of JSON when it is over: {"name": "...", "error": "" or what went wrong}. The server's part is
// tests/conformance/socketio_echo.py.

import { deepStrictEqual as same, notStrictEqual, ok, strictEqual as equal } from "node:assert";
import { createRequire } from "node:module";

import { run, strikeDumb } from "./running.mjs";

const [library, url, hasty] = process.argv.slice(2);
const io = createRequire(import.meta.url)(library);
const old = library === "socket.io-client-2"; // revision 4 of Socket.IO on revision 3 of Engine.IO

const MODES = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };
const MEGABYTE = 1_000_000; // the server's max_payload

function open(namespace = "", options = {}, server = url) {
  return io(server + namespace, { forceNew: true, reconnection: false, ...options });
}

// The arguments of the next `event`. Ask before it can come.
function heard(socket, event) {
  return new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
}

function refused(socket) {
  return heard(socket, old ? "error" : "connect_error").then(([error]) => error);
}

function ask(socket, ...message) {
  return new Promise((resolve) => socket.emit(...message, (...args) => resolve(args)));
}

async function echo(socket, ...args) {
  const back = heard(socket, "message-back");
  socket.emit("message", ...args);
  return back;
}

// Connected, and with an upgrade only when that is done.
async function arrive(mode, namespace = "", options = {}) {
  const socket = open(namespace, { transports: MODES[mode], ...options });
  await heard(socket, "connect");
  const engine = socket.io.engine;
  if (mode === "upgrade" && engine.transport.name !== "websocket") {
    await new Promise((resolve) => engine.once("upgrade", resolve));
  }
  equal(engine.transport.name, mode === "polling" ? "polling" : "websocket");
  return socket;
}

// Node has no Blob in events: what came as attachments are Buffers.
function bytes(...values) {
  return Buffer.from(values);
}

const conversations = {
  async "refused without a token, admitted with it"() {
    const stranger = open("/secret");
    const error = await refused(stranger);
    if (!old) {
      equal(error.message, "token missing");
      same(error.data, { field: "token" });
    } else {
      same(error, { field: "token" });
    }
    ok(!stranger.connected);
    stranger.close();

    const friend = old ? open("/secret?token=123") : open("/secret", { auth: { token: "123" } });
    await heard(friend, "connect");
    friend.close();
  },

  async "refused where there is no such namespace"() {
    const socket = open("/random");
    const error = await refused(socket);
    equal(error.message ?? error, "Invalid namespace"); // 2.x gave its clients the text alone
    socket.close();
  },

  async "what it says when it connects is known"() {
    const socket = old
      ? open("/custom?token=123&x=%C3%A9")
      : open("/custom", { auth: { token: "123", x: "é" } });
    same(await heard(socket, "auth"), [{ token: "123", x: "é" }]);
    socket.close();
  },

  async "namespaces share a transport"() {
    const root = open("", { forceNew: false, multiplex: true, query: { own: "1" } });
    const custom = root.io.socket("/custom", {});
    const welcomes = [root, custom].map((socket) => heard(socket, "connect"));
    custom.connect();
    await Promise.all(welcomes);
    equal(root.io.engine, custom.io.engine);
    notStrictEqual(root.id, custom.id);

    same(await echo(custom, "one"), ["one"]);
    custom.disconnect();
    same(await echo(root, "two"), ["two"]);
    ok(root.connected);
    root.close();
  },

  async "a namespace closes, the transport stays"() {
    const socket = await arrive("websocket");
    const gone = heard(socket, "disconnect");
    socket.emit("leave");
    equal((await gone)[0], "io server disconnect");

    const welcome = heard(socket, "connect");
    socket.connect();
    await welcome;
    same(await echo(socket, "again"), ["again"]);
    socket.close();
  },

  async "it reconnects after a loss"() {
    const socket = open("", { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
    await heard(socket, "connect");
    const first = socket.id;
    const gone = heard(socket, "disconnect");
    const welcome = heard(socket, "connect");
    socket.io.engine.close();
    equal((await gone)[0], "forced close");
    await welcome;
    notStrictEqual(socket.id, first);
    same(await echo(socket, "again"), ["again"]);
    socket.close();
  },

  async "who does not answer pings is hung up on"() {
    const socket = open("", { transports: ["websocket"] }, hasty);
    const gone = heard(socket, "disconnect");
    await heard(socket, "connect");
    strikeDumb(socket.io.engine);
    equal((await gone)[0], "transport close");
  },

  async "who answers pings stays"() {
    const sockets = ["polling", "websocket"].map((mode) => open("", { transports: MODES[mode] }, hasty));
    await Promise.all(sockets.map((socket) => heard(socket, "connect")));
    for (const socket of sockets) {
      let beats = 0;
      const enough = new Promise((resolve) => {
        const count = (packet) => packet.type === (old ? "pong" : "ping") && ++beats === 3 && resolve();
        socket.io.engine.on("packet", count);
      });
      const gone = heard(socket, "disconnect").then(([why]) => why);
      equal(await Promise.race([enough, gone]), undefined);
      same(await echo(socket, "still here"), ["still here"]);
      socket.close();
    }
  },

  async "a packet of an unknown type ends it"() {
    const socket = await arrive("websocket");
    const gone = heard(socket, "disconnect");
    socket.io.engine.send("abc");
    equal((await gone)[0], "transport close");
  },

  async "an event without a name ends it"() {
    const socket = await arrive("websocket");
    const gone = heard(socket, "disconnect");
    socket.io.engine.send("2{}");
    equal((await gone)[0], "transport close");
  },

  async "a placeholder that lies ends it"() {
    const socket = await arrive("websocket");
    const gone = heard(socket, "disconnect");
    socket.io.engine.send('51-["message",{"_placeholder":true,"num":1}]');
    socket.io.engine.send(bytes(1));
    equal((await gone)[0], "transport close");
  },
};

for (const mode of Object.keys(MODES)) {
  Object.assign(conversations, {
    async [`${mode}: events, in their order`]() {
      const socket = await arrive(mode);
      const all = Array.from({ length: 100 }, (_, number) => number);
      const back = [];
      const done = new Promise((resolve) => {
        socket.on("message-back", (number) => back.push(number) === all.length && resolve());
      });
      for (const number of all) socket.emit("message", number);
      await done;
      same(back, all);
      socket.close();
    },

    async [`${mode}: any text`]() {
      const socket = await arrive(mode);
      const text = "é € 😀 \u2028 \u2029 \x1e \0 \\n \n \" 中文 \u{10ffff}";
      same(await echo(socket, text, { [text]: [text] }), [text, { [text]: [text] }]);
      const [half] = await echo(socket, "\ud83d!"); // an emoji that was cut
      ok(half === "\ud83d!" || half === "\ufffd!");
      socket.close();
    },

    async [`${mode}: acknowledgements both ways`]() {
      const socket = await arrive(mode);
      same(await ask(socket, "message-with-ack", 1, "2", { 3: [false] }), [1, "2", { 3: [false] }]);

      socket.once("question", (what, answer) => answer("because", what, bytes(1)));
      const answered = heard(socket, "answered");
      socket.emit("ask", "why");
      same(await answered, ["because", "why", bytes(1)]);
      socket.close();
    },

    async [`${mode}: bytes anywhere in an event`]() {
      const socket = await arrive(mode);
      const args = [bytes(1, 2, 3), { a: [bytes(), { b: bytes(255) }] }, "text"];
      same(await echo(socket, ...args), args);
      same(await ask(socket, "message-with-ack", ...args), args);
      socket.close();
    },

    async [`${mode}: a message of a megabyte`]() {
      const socket = await arrive(mode);
      const text = "x".repeat(MEGABYTE - 100);
      same((await echo(socket, text))[0].length, text.length);
      const data = Buffer.alloc(mode === "websocket" ? MEGABYTE - 100 : 700_000, 7); // base64 in a poll
      ok((await echo(socket, data))[0].equals(data));
      socket.close();
    },

    async [`${mode}: more than that ends it`]() {
      const socket = await arrive(mode);
      const gone = heard(socket, "disconnect");
      socket.emit("message", "x".repeat(MEGABYTE));
      const [why] = await gone; // of a poll: by the answer to the post, or to the poll
      ok(why === "transport close" || (mode === "polling" && why === "transport error"), why);
    },
  });
}

await run(conversations);
