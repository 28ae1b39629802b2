// The live connection: states, chunks and pictures come in, words of the hand go out. It says how old what it told is.

import { key } from "./orders.js";

const GIVEN_UP = 3000; // ms without a state after which the connection is made anew
const PAUSE = 700; // ms before that

export class Live {
  #socket = null;
  #heardAt = -Infinity;
  #triedAt = -Infinity;
  #listeners = {};
  state = null;
  hello = null;

  /** on("hello" | "state" | "chunk" | "picture" | "closed", listener) */
  on(kind, listener) {
    (this.#listeners[kind] ??= []).push(listener);
    return this;
  }

  /** ms since the newest state came. */
  get age() {
    return performance.now() - this.#heardAt;
  }

  connect() {
    this.#triedAt = performance.now();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ kind: "hello", key, name: localStorage.getItem("clwm.name") ?? "" }));
    socket.onmessage = (event) => socket === this.#socket && this.#take(event.data);
    socket.onclose = (event) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      this.#tell("closed", event);
    };
    this.#socket = socket;
  }

  /** To be called often: makes the connection anew when it is gone, or has stalled for long. */
  look() {
    const tried = performance.now() - this.#triedAt;
    if (this.#socket === null ? tried > PAUSE : Math.min(this.age, tried) > GIVEN_UP) {
      this.#socket?.close();
      this.connect();
    }
  }

  send(word) {
    // What cannot leave at once would arrive as old news.
    if (this.#socket?.readyState !== WebSocket.OPEN || this.#socket.bufferedAmount > 4096) return false;
    this.#socket.send(JSON.stringify(word));
    return true;
  }

  #take(data) {
    if (data instanceof ArrayBuffer) {
      const camera = new Uint8Array(data, 0, 1)[0];
      this.#tell("picture", { camera, jpeg: new Blob([new Uint8Array(data, 1)], { type: "image/jpeg" }) });
      return;
    }
    const message = JSON.parse(data);
    if (message.kind === "hello") this.hello = message;
    if (message.kind === "state") {
      this.state = message;
      this.#heardAt = performance.now();
    }
    this.#tell(message.kind, message);
    if (message.kind === "state") this.send({ kind: "seen" }); // the next one comes after this
  }

  #tell(kind, what) {
    for (const listener of this.#listeners[kind] ?? []) listener(what);
  }
}
