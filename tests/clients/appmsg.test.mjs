// What needs no socket: the table of endings, the jitter, and everything about time, which stands
// still here until a test moves it. Run by test_js_client.py, or: node --test tests/clients/
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, mock, test } from "node:test";
import { nextMove, pause, readText, subscribe } from "../../clients/js/appmsg.js";

const SERVER = "ws://10.0.0.1:6968/sub";
const ENDINGS = JSON.parse(readFileSync(new URL("endings.json", import.meta.url)));

/** A WebSocket without a network. */
class Socket {
  static made = [];
  said = [];

  constructor(url) {
    this.url = new URL(url);
    Socket.made.push(this);
  }
  send(text) {
    this.said.push(text);
  }
  close() {
    this.closed = true;
  }
  hear(text) {
    this.onmessage?.({ data: text });
  }
  end(code, reason = "") {
    this.onclose?.({ code, reason });
  }
}

const MINUTE = 60_000;
const settle = async () => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};
const tick = async (ms) => {
  mock.timers.tick(ms);
  await settle();
};
/** A subscription and the socket it has made. */
const begin = async (options = {}) => {
  const states = [];
  const subscription = subscribe("u1@user", {
    server: SERVER,
    WebSocket: Socket,
    onState: (state) => states.push(state),
    ...options,
  });
  await settle();
  return { subscription, states, socket: Socket.made.at(-1) };
};

beforeEach(() => {
  Socket.made = [];
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
});
afterEach(() => mock.timers.reset());

for (const { code, reason, welcomed, to, at_once } of ENDINGS) {
  test(`${code} ${reason} (welcomed: ${welcomed}) leads to ${to}`, () => {
    const move = nextMove({ code, reason }, SERVER, { welcomed, tries: 1 });

    const server = { nowhere: null, web: null, same: SERVER }[to];
    const expected = { stop: to === "nowhere", server: server === undefined ? to : server };
    assert.deepEqual(move, { ...expected, atOnce: at_once });
  });
}

test("comets that send a client to each other do not make it spin", () => {
  const moved = { code: 4000, reason: "moved ws://10.0.0.2:6968" };

  const [first, second] = [1, 2].map((tries) => nextMove(moved, SERVER, { welcomed: true, tries }));

  assert.equal(first.atOnce, true);
  assert.equal(second.atOnce, false);
});

test("a move never leaves TLS", () => {
  const to = (url) =>
    nextMove({ code: 4000, reason: `moved ${url}` }, "wss://n1.example", { welcomed: true, tries: 0 });

  assert.equal(to("ws://n2.example").server, null);
  assert.equal(to("wss://n2.example").server, "wss://n2.example");
});

test("a pause uses all of 0 to min(30 s, 0.5 s × 2^n), and no more", () => {
  assert.deepEqual([0, 1, 2, 5, 6, 60].map((n) => pause(n, 0.5)), [250, 500, 1e3, 8e3, 15e3, 15e3]);
  for (let n = 0; n < 200; n++) {
    const waited = pause(n);
    assert.ok(waited >= 0 && waited < Math.min(30_000, 500 * 2 ** n));
  }
});

test("what is no message is not taken for one", () => {
  const rubbish = ["", "+h", "{}", "null", "[1]", '{"mid":1}', '{"msg":1,"mid":-1}'];
  for (const text of [...rubbish, '{"msg":1,"mid":1.5}', '{"msg":1,"mid":9007199254740992}', {}]) {
    assert.throws(() => readText(text), /neither a reply nor a message/);
  }
});

test("a heartbeat goes out in time, and its answers are life enough", async () => {
  const { socket, states } = await begin({ heartbeat: 30 });
  socket.hear("+h\r\n");
  for (let beats = 1; beats <= 100; beats++) {
    await tick(27_000);
    assert.equal(socket.said.length, beats);
    socket.hear("+h\r\n");
  }

  assert.deepEqual(new Set(socket.said), new Set(["h"]));
  assert.deepEqual(states.map(({ state }) => state), ["connecting", "online"]);
});

test("silence is noticed 15 s after the heartbeat that nobody answered", async () => {
  const { socket, states } = await begin({ heartbeat: 30 });
  socket.hear("+h\r\n");
  await tick(44_999);
  assert.equal(states.at(-1).state, "online");
  await tick(1);

  assert.equal(states.at(-1).state, "waiting");
  assert.match(states.at(-1).reason, /silent for 45 s/);
  assert.ok(socket.closed);
});

test("a line that is over is left in peace", async () => {
  const { socket } = await begin({ heartbeat: 30 });
  socket.hear("+h\r\n");
  socket.end(4001, "slow");
  await tick(10 * MINUTE);

  assert.deepEqual(socket.said, []);
});

test("a connection that cannot be made is over at once, close or no close", async () => {
  const { socket, states } = await begin();
  socket.onerror({});
  assert.deepEqual([states.at(-1).state, states.at(-1).code], ["waiting", 1006]);
  socket.onerror({});
  socket.end(1006);
  await tick(MINUTE);

  assert.equal(Socket.made.length, 2);
});

test("an error after the welcome waits for its close, which knows why", async () => {
  const { socket, states } = await begin();
  socket.hear("+h\r\n");
  socket.onerror({});
  assert.equal(states.at(-1).state, "online");
  socket.end(4001, "slow");

  assert.equal(states.at(-1).code, 4001);
});

test("a comet that does not welcome is left after 10 s", async () => {
  const { states } = await begin();
  await tick(10_000);

  assert.equal(states.at(-1).state, "waiting");
});

test("pauses grow until a connection proves itself", async () => {
  const limits = [];
  const random = mock.method(Math, "random", () => 0.5);
  const { states } = await begin();
  for (let tries = 0; tries < 8; tries++) {
    Socket.made.at(-1).hear("+h\r\n");
    Socket.made.at(-1).end(4004, "store away"); // a welcome proves nothing
    limits.push(states.at(-1).retryIn);
    await tick(MINUTE / 2);
  }
  Socket.made.at(-1).hear("+h\r\n");
  Socket.made.at(-1).hear('{"msg":1,"mid":1,"gid":0}');
  Socket.made.at(-1).end(4004, "store away");

  random.mock.restore();
  assert.deepEqual(limits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  assert.equal(states.at(-1).retryIn, 250);
});

test("a device that is back does not wait for the pause to end", async () => {
  const listeners = {};
  globalThis.addEventListener = (name, listener) => (listeners[name] = listener);
  globalThis.removeEventListener = (name) => delete listeners[name];
  try {
    const random = mock.method(Math, "random", () => 0.999);
    const now = mock.method(performance, "now", () => 0);
    const { subscription, states, socket } = await begin();
    socket.end(1006);
    listeners.online(); // the last try was only just now
    assert.equal(states.at(-1).state, "waiting");
    now.mock.mockImplementation(() => 1000);
    listeners.online();
    await settle();
    assert.equal(states.at(-1).state, "connecting");
    assert.equal(Socket.made.length, 2);

    const second = Socket.made.at(-1);
    second.hear("+h\r\n");
    listeners.online(); // an open line is asked whether it lives
    assert.deepEqual(second.said, ["h"]);
    await tick(5000);
    assert.equal(states.at(-1).state, "waiting");

    subscription.close();
    assert.deepEqual(listeners, {});
    random.mock.restore();
    now.mock.restore();
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});

test("a handler that fails has not handled its message", async () => {
  const kept = [];
  const { subscription, socket } = await begin({
    mid: 1,
    storage: { getItem: () => null, setItem: (_, value) => kept.push(value) },
    onMessage: () => {
      throw new Error("handler");
    },
  });
  socket.hear("+h\r\n");
  assert.throws(() => socket.hear('{"msg":1,"mid":2,"gid":0}'), /handler/);

  assert.equal(subscription.mid, 1);
  assert.deepEqual(kept, []);
});

/** One message as the comet says it. */
const stored = (mid) => `{"msg":1,"mid":${mid},"gid":0}`;
const live = (mid) => `{"msg":1,"mid":${mid},"gid":0,"live":true}`;

test("a live message moves neither the position nor the storage, and hides no stored one", async () => {
  const came = [], kept = [];
  const { subscription, socket } = await begin({
    mid: 4,
    storage: { getItem: () => null, setItem: (_, value) => kept.push(value) },
    onMessage: (message) => came.push([message.mid, message.live, subscription.mid]),
  });
  socket.hear("+h\r\n");
  for (const text of [live(4), stored(5), live(12), stored(11), live(11), live(12), live(13)]) {
    socket.hear(text);
  }

  assert.deepEqual(came, [[5, false, 4], [12, true, 5], [11, false, 5], [13, true, 11]]);
  assert.deepEqual(kept, ["5", "11"]);
  assert.equal(subscription.mid, 11);
});

test("after a loss it resumes from the last stored message, never from a live one", async () => {
  const { socket, subscription } = await begin();
  socket.hear("+h\r\n");
  socket.hear(live(12));
  assert.equal(subscription.mid, undefined);
  socket.hear(stored(5));
  socket.hear(live(13));
  socket.end(1006);
  await tick(MINUTE);

  assert.equal(Socket.made.length, 2);
  assert.equal(Socket.made[1].url.searchParams.get("mid"), "5");
});

test("a live message that came before a loss does not come again after it", async () => {
  const came = [];
  const { socket } = await begin({ onMessage: ({ mid }) => came.push(mid) });
  socket.hear("+h\r\n");
  socket.hear(live(12));
  socket.end(1006);
  await tick(MINUTE);
  Socket.made[1].hear("+h\r\n");
  for (const mid of [12, 13]) Socket.made[1].hear(live(mid));

  assert.deepEqual(came, [12, 13]);
});

test("a live message can be acknowledged", async () => {
  const { subscription, socket } = await begin();
  socket.hear("+h\r\n");
  socket.hear(live(12));
  subscription.acknowledge(12);

  assert.deepEqual(socket.said, ['{"ack":[12]}']);
});

test("only `true` makes a message live", () => {
  const texts = [live(1), stored(1), '{"msg":1,"mid":1,"live":false}', '{"msg":1,"mid":1,"live":1}'];

  assert.deepEqual(texts.map((text) => readText(text).live), [true, false, false, false]);
});

test("a storage that is full or forbidden is no reason to stop", async () => {
  const fail = () => {
    throw new Error("forbidden");
  };
  const { subscription, socket } = await begin({ storage: { getItem: fail, setItem: fail } });
  socket.hear("+h\r\n");
  socket.hear('{"msg":1,"mid":2,"gid":0}');

  assert.equal(subscription.mid, 2);
});

for (const last of ["connecting", "online", "waiting"]) {
  test(`a page that closes it while ${last} hears no more`, async () => {
    const seen = [];
    const onState = ({ state }) => {
      seen.push(state);
      if (state === last) subscription.close();
    };
    const subscription = subscribe("u1@user", { server: SERVER, WebSocket: Socket, onState });
    await settle();
    for (const socket of Socket.made) {
      socket.hear("+h\r\n");
      socket.end(1006);
    }
    await tick(MINUTE);

    assert.deepEqual(seen.slice(-2), [last, "closed"]);
    assert.ok(Socket.made.length <= 1);
  });
}

test("wrong options are told at once", () => {
  const options = { WebSocket: Socket };
  const wrong = [
    ["", { server: SERVER }, /key/],
    ["k", {}, /web: expected/],
    ["k", { server: "http://a" }, /server: got http:\/\/a/],
    ["k", { server: SERVER, heartbeat: 29 }, /heartbeat: got 29/],
    ["k", { server: SERVER, mid: -1 }, /mid: got -1/],
    ["k", { server: SERVER, WebSocket: null }, /npm i ws/],
  ];
  for (const [key, given, told] of wrong) {
    assert.throws(() => subscribe(key, { ...options, ...given }), told);
  }
});
