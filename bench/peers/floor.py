"""The floor under every server here: a bare loop of send(2) over WebSocket connections.

It does what nobody can avoid, and nothing else: no heartbeats, no limits, no slow clients, no
checks. What comes on /control goes to every subscriber; frames that came together go out together.
It shows how much of a delivery is the kernel, and how fast the load generator can read.
"""

import select
import socket

from bench.frames import frame_size, server_frame, upgrade_answer

MASK = 4  # bytes; the load generator's masks are zeros


def main() -> None:
    """Serve until killed. Prints the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    subscribed: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                client = listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                epoll.register(client, select.EPOLLIN)
            elif not (data := _receive(clients[fd])):
                subscribed.pop(fd, None)
                clients.pop(fd).close()
            elif data.startswith(b"GET "):
                _greet(clients[fd], data, subscribed)
            elif fd not in subscribed:
                frames = _reframed(data)
                for subscriber in subscribed.values():
                    subscriber.send(frames)


def _receive(client: socket.socket) -> bytes:
    try:
        return client.recv(1 << 20)
    except ConnectionResetError:
        return b""


def _greet(client: socket.socket, request: bytes, subscribed: dict[int, socket.socket]) -> None:
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    client.send(upgrade_answer(key))
    if not request.startswith(b"GET /control "):
        client.send(server_frame(b"+h\r\n"))
        subscribed[client.fileno()] = client


def _reframed(data: bytes) -> bytes:
    """Client frames as server frames."""
    frames = b""
    while data:
        head = 2 if data[1] & 0x7F < 126 else 4
        size = frame_size(bytes((data[0], data[1] & 0x7F)) + data[2:4]) + MASK
        frames += server_frame(data[head + MASK : size])
        data = data[size:]
    return frames


if __name__ == "__main__":
    main()
