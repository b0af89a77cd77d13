// socket.io as its manual shows it: clients of /demo join rooms, and the body of a POST goes to the room "bench".
// No compression (it is off by default). Prints its port. SIGUSR2 collects garbage, so that memory per client is not
// memory per handshake. Pings are an hour apart: who plays is not disturbed by those who wait.
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    clients.to("bench").emit("push", JSON.parse(Buffer.concat(parts)));
    response.setHeader("Content-Type", "application/json");
    response.end('{"ret":0}');
  });
});
server.keepAliveTimeout = 0; // others play for longer than its 5 s
const clients = new Server(server, { pingInterval: 3_600_000 }).of("/demo");

clients.on("connection", (socket) => {
  socket.on("joinRoom", (rooms, answer) => {
    socket.join(rooms);
    answer({ status: 200, msg: "ok" });
  });
  socket.emit("ok", { clientId: socket.id });
});
server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(server.address().port);
});

process.on("SIGUSR2", () => globalThis.gc());
