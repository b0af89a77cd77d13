// What others' Engine.IO clients say to a comet that echoes, and must hear: as conversations.mjs.
//
//   node engine_conversations.mjs engine.io-client-6 http://127.0.0.1:3000 http://127.0.0.1:3001

import { deepStrictEqual as same, ok, strictEqual as equal } from "node:assert";
import { createRequire } from "node:module";

import { run, strikeDumb } from "./running.mjs";

const [library, url, hasty] = process.argv.slice(2);
const required = createRequire(import.meta.url)(library);
const old = library === "engine.io-client-3"; // revision 3

const MODES = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };
const MEGABYTE = 1_000_000; // the server's max_payload

function open(options = {}, server = url) {
  const all = { path: "/engine.io/", ...options };
  return old ? required(server, all) : new required.Socket(server, all);
}

function heard(socket, event) {
  return new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
}

async function echo(socket, message) {
  const back = heard(socket, "message");
  socket.send(message);
  const [data] = await back;
  return typeof data === "string" ? data : Buffer.from(data);
}

// Open, and with an upgrade only when that is done.
async function arrive(mode, options = {}) {
  const socket = open({ transports: MODES[mode], ...options });
  await heard(socket, "open");
  if (mode === "upgrade" && socket.transport.name !== "websocket") await heard(socket, "upgrade");
  equal(socket.transport.name, mode === "polling" ? "polling" : "websocket");
  return socket;
}

const conversations = {
  async "who does not answer pings is hung up on"() {
    const socket = open({ transports: ["websocket"] }, hasty);
    const gone = heard(socket, "close");
    await heard(socket, "open");
    strikeDumb(socket);
    equal((await gone)[0], "transport close");
  },

  async "who answers pings stays"() {
    for (const transports of [["polling"], ["websocket"]]) {
      const socket = open({ transports }, hasty);
      let beats = 0;
      const enough = new Promise((resolve) => {
        const count = ({ type }) => type === (old ? "pong" : "ping") && ++beats === 3 && resolve();
        socket.on("packet", count);
      });
      const gone = heard(socket, "close").then(([why]) => why);
      equal(await Promise.race([enough, gone]), undefined);
      equal(await echo(socket, "still here"), "still here");
      socket.close();
    }
  },

  async "websocket: what is no packet ends it"() {
    const socket = await arrive("websocket");
    const gone = heard(socket, "close");
    socket.transport.ws.send("abc");
    equal((await gone)[0], "transport close");
  },

  async "polling: what is no payload ends it"() {
    const socket = await arrive("polling");
    const gone = heard(socket, "close");
    socket.transport.doWrite("abc", () => {});
    const [why] = await gone; // by the answer to the post, or to the poll
    ok(why === "transport close" || why === "transport error", why);
  },

  async "a session that was closed is unknown"() {
    const socket = await arrive("polling");
    const query = `EIO=${old ? 3 : 4}&transport=polling&sid=${socket.id}`;
    const gone = heard(socket, "close");
    socket.close();
    await gone;
    let answer, code;
    do {
      // its own farewell may still be under way (200), or its last poll (3: two at once)
      answer = await fetch(`${url}/engine.io/?${query}`);
      code = answer.status === 200 ? 0 : (await answer.json()).code;
    } while (answer.status === 200 || code === 3);
    equal(answer.status, 400);
    equal(code, 1);
  },
};

for (const mode of Object.keys(MODES)) {
  Object.assign(conversations, {
    async [`${mode}: messages, in their order`]() {
      const socket = await arrive(mode);
      const all = Array.from({ length: 100 }, (_, number) => String(number));
      const back = [];
      const done = new Promise((resolve) => {
        socket.on("message", (text) => back.push(text) === all.length && resolve());
      });
      for (const text of all) socket.send(text);
      await done;
      same(back, all);
      socket.close();
    },

    async [`${mode}: any text`]() {
      const socket = await arrive(mode);
      const text = "é € 😀 \u2028 \u2029 \0 \\n \n \" 中文 \u{10ffff} 1:2 b4";
      equal(await echo(socket, text), text);
      socket.close();
    },

    async [`${mode}: bytes, between texts`]() {
      const socket = await arrive(mode);
      const all = ["one €", Buffer.from([0, 1, 255]), "two", Buffer.alloc(0), "three"];
      const back = [];
      const done = new Promise((resolve) => {
        socket.on("message", (data) => {
          back.push(typeof data === "string" ? data : Buffer.from(data));
          if (back.length === all.length) resolve();
        });
      });
      for (const message of all) socket.send(message);
      await done;
      same(back, all);
      socket.close();
    },

    async [`${mode}: bytes as base64`]() {
      const socket = await arrive(mode, { forceBase64: true });
      same(await echo(socket, Buffer.from([0, 1, 255])), Buffer.from([0, 1, 255]));
      socket.close();
    },

    async [`${mode}: a message of a megabyte`]() {
      const socket = await arrive(mode);
      const text = "x".repeat(MEGABYTE - 100);
      equal((await echo(socket, text)).length, text.length);
      const data = Buffer.alloc(mode === "websocket" ? MEGABYTE - 100 : 700_000, 7); // base64 in a poll
      ok((await echo(socket, data)).equals(data));
      socket.close();
    },

    async [`${mode}: more than that ends it`]() {
      const socket = await arrive(mode);
      const gone = heard(socket, "close");
      socket.send("x".repeat(MEGABYTE));
      const [why] = await gone; // of a poll: by the answer to the post, or to the poll
      ok(why === "transport close" || (mode === "polling" && why === "transport error"), why);
    },

    async [`${mode}: the client says goodbye`]() {
      const socket = await arrive(mode);
      const gone = heard(socket, "close");
      socket.close();
      equal((await gone)[0], "forced close");
    },
  });
}

await run(conversations);
