// Node `ws` as its manual shows a broadcast: the body of a POST goes to every client, as a text message.
// Prints its port. SIGUSR2 collects garbage, so that memory per client is not memory per handshake.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const message = Buffer.concat(parts);
    for (const client of sockets.clients) client.send(message, { binary: false });
    response.setHeader("Content-Type", "application/json");
    response.end('{"ret":0}');
  });
});
server.keepAliveTimeout = 0; // others play for longer than its 5 s
const sockets = new WebSocketServer({ server });

sockets.on("connection", (socket) => socket.send("+h\r\n"));
server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(server.address().port);
});

process.on("SIGUSR2", () => globalThis.gc());
