// Mpush's seed version in the shape of its original: `http` and `ws`, one process, all in memory. What the original gets
// wrong is left out where that makes it no slower: mids are unique, a queue forgets by mid, all of it is sent at a login.
// Both on one port, which it prints. SIGUSR2 collects garbage, so that memory per device is not memory per login.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const TOKEN = "mpush";
const WAIT = 3_000; // ms until a pusher hears `online`
const RESEND = 2_000; // ms until a message goes out again with the next one
const devices = new Map(); // by name: { socket, queue }
const waiting = new Map(); // by mid: what an acknowledgement does
let lastMid = 0;

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://127.0.0.1");
  const device = devices.get(url.pathname.slice(1));
  if (!device) return response.end("no\n");
  lastMid = Math.max(Date.now(), lastMid + 1);
  const mid = String(lastMid);
  const title = url.searchParams.get("title") ?? undefined;
  const content = url.searchParams.get("content") ?? "";
  device.queue.set(mid, { message: { title, content, mid }, sentAt: 0 });
  if (!device.socket) return response.end("offline\n");
  const answer = (word) => {
    waiting.delete(mid);
    response.end(word);
  };
  const timer = setTimeout(answer, WAIT, "online\n");
  waiting.set(mid, () => {
    clearTimeout(timer);
    answer("ok\n");
  });
  flush(device, RESEND);
});
server.keepAliveTimeout = 0; // others play for longer than its 5 s

function flush(device, age) {
  const now = Date.now();
  const due = [...device.queue.values()].filter((each) => now - each.sentAt >= age);
  for (const each of due) each.sentAt = now;
  if (due.length) say(device.socket, "MESSAGE", { msgList: due.map((each) => each.message) });
}

function say(socket, cmd, data) {
  socket.send(JSON.stringify({ cmd, data }));
}

const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket) => {
  let isAdmitted = false;
  let device;
  socket.on("message", (data) => {
    const text = data.toString();
    if (!isAdmitted) {
      isAdmitted = text === TOKEN;
      const answer = { code: 200, msg: "Successful authentication" };
      say(socket, "AUTH", isAdmitted ? answer : { code: 403, msg: "Token invalid" });
    } else if (!device) {
      device = devices.get(text) ?? { queue: new Map() };
      devices.set(text, device);
      device.socket?.close();
      device.socket = socket;
      say(socket, "LOGIN", { name: text });
      flush(device, 0);
    } else {
      for (const mid of JSON.parse(text).data.midList) {
        device.queue.delete(mid);
        waiting.get(mid)?.();
      }
    }
  });
  socket.on("close", () => {
    if (device?.socket === socket) device.socket = undefined;
  });
});

server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(server.address().port);
});

process.on("SIGUSR2", () => globalThis.gc());
