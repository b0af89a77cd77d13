// A login as a device, kept alive: version 2.2 of Mpush over a WebSocket.
//
//   page    {"cmd":"AUTH","data":{"token":"...","name":"phone","group":""}}     first of all
//           {"cmd":"MESSAGE_CALLBACK","data":{"mid":"1557901952810"}}           acknowledges; then the next one comes
//           {"cmd":"PING"}                                                      every 30 s
//   server  AUTH with code 200, 401, 403; MESSAGE, one at a time; PONG; INFO: something was wrong
//
// The newest login of a device wins: the other one's socket is closed without a code. It comes back after a
// minute only, lest two of them oust each other for ever.
//
// Source: spec/mpush.md 11.2 to 11.4. A message may come before AUTH was answered.

const BEAT = 30_000; // ms between two pings
const ANSWER = 10_000; // ms for an answer to one, and for a login
const FIRST_PAUSE = 1_000; // ms; doubles
const MAX_PAUSE = 60_000;
const NO_CODE = 1005;

export class Session {
  #options;
  #socket = null;
  #timer = 0; // the next try, the next ping, or the end of a wait
  #pause = FIRST_PAUSE;
  #isIn = false;
  #isOver = false;

  /**
   * options: { server, token, name, group, onState({ state, reason, seconds }), onMessage(data), onLogin(data),
   * onInfo(text): the server says what was wrong };
   * states: connecting, online, waiting, refused.
   */
  constructor(options) {
    this.#options = options;
    this.#connect();
    addEventListener("online", this.tryNow);
  }

  /** For ever. */
  close() {
    removeEventListener("online", this.tryNow);
    this.#isOver = true;
    this.#drop();
  }

  /** Without the rest of the pause. */
  tryNow = () => {
    if (this.#socket || this.#isOver) return;
    this.#pause = FIRST_PAUSE;
    this.#connect();
  };

  /** False: not logged in at the moment, so it comes again. */
  acknowledge(mid) {
    return this.#send("MESSAGE_CALLBACK", { mid });
  }

  registerWebPush(subscription) {
    return this.#send("REGISTER_WEBPUSH", subscription);
  }

  #connect() {
    clearTimeout(this.#timer);
    const { server, token, name, group } = this.#options;
    this.#tell({ state: "connecting" });
    let socket;
    try {
      socket = new WebSocket(server);
    } catch {
      this.close();
      this.#tell({ state: "refused", reason: "bad_server" });
      return;
    }
    this.#socket = socket;
    this.#expect();
    socket.onopen = () => socket.send(JSON.stringify({ cmd: "AUTH", data: { token, name, group } }));
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code }) => this.#lose(code === NO_CODE && this.#isIn ? "taken" : "unreachable");
  }

  #hear(text) {
    let packet;
    try {
      packet = JSON.parse(text);
    } catch {
      return; // not ours to judge: the next one may be right
    }
    this.#beat();
    if (packet?.cmd === "AUTH") this.#hearAuth(packet.data ?? {});
    else if (packet?.cmd === "MESSAGE") this.#options.onMessage(packet.data);
    else if (packet?.cmd === "INFO") this.#options.onInfo(String(packet.data));
  }

  #hearAuth(data) {
    if (data.code !== 200) {
      this.close();
      this.#tell({ state: "refused", reason: String(data.msg ?? data.code) });
      return;
    }
    this.#isIn = true;
    this.#pause = FIRST_PAUSE;
    this.#tell({ state: "online" });
    this.#options.onLogin(data);
  }

  /** It lives: ping in a while. */
  #beat() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#send("PING");
      this.#expect();
    }, BEAT);
  }

  /** It is given up if it says nothing for a while. */
  #expect() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lose("silent"), ANSWER);
  }

  #lose(reason) {
    this.#drop();
    const pause = reason === "taken" ? MAX_PAUSE : this.#pause * (0.75 + Math.random() / 2);
    this.#pause = Math.min(this.#pause * 2, MAX_PAUSE);
    this.#tell({ state: "waiting", reason, seconds: Math.ceil(pause / 1000) });
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  #drop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#isIn = false;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  #send(cmd, data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ cmd, data }));
    return true;
  }

  #tell(state) {
    this.#options.onState(state);
  }
}
