// Node `ws` as its manual shows a broadcast: what comes on /control goes to every other client.
// Prints its port. SIGUSR2 collects garbage, so that memory per client is not memory per handshake.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096 });

server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket, request) => {
  if (request.url !== "/control") {
    socket.send("+h\r\n");
    return;
  }
  server.clients.delete(socket); // it speaks only
  socket.on("message", (data) => {
    for (const client of server.clients) client.send(data, { binary: false });
  });
});

process.on("SIGUSR2", () => globalThis.gc());
