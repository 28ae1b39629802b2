// Taking over: keys, buttons on the page, a gamepad. Each holds a dead-man switch that is released when the page is
// hidden, loses the focus, shows old states, or when the pad goes.

const PERIOD = 50; // ms between two words
const KEYS = {
  w: ["linear", 0, 1], s: ["linear", 0, -1], a: ["linear", 1, 1], d: ["linear", 1, -1], r: ["linear", 2, 1], f: ["linear", 2, -1],
  q: ["angular", 2, 1], e: ["angular", 2, -1], t: ["angular", 1, 1], g: ["angular", 1, -1], y: ["angular", 0, 1], h: ["angular", 0, -1],
  o: ["opening", 0, 1], c: ["opening", 0, -1], " ": ["still", 0, 0],
};
const PAD = [
  ["w", "forward"], ["a", "left"], ["r", "up"], ["q", "turn left"], ["t", "pitch +"], ["o", "open"],
  ["s", "back"], ["d", "right"], ["f", "down"], ["e", "turn right"], ["g", "pitch -"], ["c", "close"],
];
const DEAD_ZONE = 0.15;
const SWITCHES = [4, 5]; // the pad's shoulder buttons
const by = (id) => document.getElementById(id);

export class Steering {
  #held = new Set(); // keys
  #pressed = new Map(); // pointer -> key of the button it holds
  #arm = 0;
  #wasHeld = false;
  #isSteering = false;
  #pad = null; // index of the gamepad in use

  constructor(live, give) {
    this.live = live;
    this.#buttons(give);
    live.on("state", (state) => this.#state(state));
    live.on("closed", () => this.release());
    addEventListener("keydown", (event) => this.#down(event));
    addEventListener("keyup", (event) => this.#held.delete(event.key.toLowerCase()));
    addEventListener("blur", () => this.release());
    addEventListener("pagehide", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    addEventListener("gamepaddisconnected", (event) => event.gamepad.index === this.#pad && this.release());
    setInterval(() => this.#say(), PERIOD);
  }

  /** Let go of everything, now. What is still pressed has to be pressed anew. */
  release() {
    this.#held.clear();
    this.#pressed.clear();
    this.#pad = null;
    for (const button of document.querySelectorAll("#pad .held")) button.classList.remove("held");
    this.#say();
  }

  #buttons(give) {
    by("freeze").onclick = () => give("/hold");
    by("take_over").onclick = async () => {
      const isMine = this.#isSteering;
      document.activeElement?.blur();
      await give(isMine ? "/give_up" : "/take_over");
    };
    by("hand_back").onclick = () => {
      this.release();
      give("/policy");
    };
    for (const button of document.querySelectorAll("[data-arm]")) button.onclick = () => this.#choose(Number(button.dataset.arm));
    by("pad").replaceChildren(
      ...PAD.map(([key, words]) => {
        const button = document.createElement("button");
        button.append(words, Object.assign(document.createElement("kbd"), { textContent: key }));
        button.onpointerdown = (event) => {
          event.preventDefault();
          button.setPointerCapture(event.pointerId);
          this.#pressed.set(event.pointerId, key);
          button.classList.add("held");
          this.#say();
        };
        button.onpointerup = button.onpointercancel = button.onlostpointercapture = (event) => {
          this.#pressed.delete(event.pointerId);
          button.classList.remove("held");
          this.#say();
        };
        button.oncontextmenu = (event) => event.preventDefault();
        return button;
      }),
    );
  }

  #choose(arm) {
    this.release();
    this.#arm = arm;
    for (const button of document.querySelectorAll("[data-arm]")) button.classList.toggle("chosen", Number(button.dataset.arm) === arm);
  }

  #state(state) {
    const isMine = document.body.dataset.charge === "mine";
    const { act, note } = state.steering;
    this.#isSteering = isMine && act !== "free";
    by("jog").hidden = !this.#isSteering;
    by("take_over").textContent = this.#isSteering ? "End take-over" : "Take over";
    const told = { free: "", ready: "Taken over. Hold a key or button to move the arms.", claiming: "Asking for the arms…", steering: "You move the arms." };
    by("act").textContent = [this.#isSteering || act === "free" ? told[act] : "Another page has taken over.", note].filter(Boolean).join(" ");
  }

  #down(event) {
    const key = event.key.toLowerCase();
    if (!this.#isSteering || event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog")) return;
    if (key === "1" || key === "2") this.#choose(Number(key) - 1);
    if (!(key in KEYS)) return;
    event.preventDefault();
    this.#held.add(key);
    this.#say();
  }

  #say() {
    if (!this.#isSteering || !this.live.state) return;
    const wish = { linear: [0, 0, 0], angular: [0, 0, 0], opening: [0] };
    for (const key of [...this.#held, ...this.#pressed.values()]) {
      const [what, axis, sign] = KEYS[key];
      if (what in wish) wish[what][axis] += sign;
    }
    const byPad = this.#gamepad(wish);
    const isHeld = !document.hidden && (this.#held.size > 0 || this.#pressed.size > 0 || byPad);
    if (!isHeld && !this.#wasHeld && !this.#mustTell()) return;
    this.#wasHeld = isHeld;
    const speed = Number(by("speed").value);
    const share = (values) => values.map((value) => speed * Math.min(1, Math.max(-1, value)));
    this.live.send({
      kind: "hand", dead_man: isHeld, arm: this.#arm, linear: share(wish.linear), angular: share(wish.angular),
      opening: share(wish.opening)[0], seen: this.live.state.at,
    });
  }

  // After a take-over the console has to hear once that the switch is open.
  #mustTell() {
    return this.live.state.steering.act !== "steering";
  }

  #gamepad(wish) {
    const pads = [...navigator.getGamepads()].filter((pad) => pad?.connected);
    const pad = pads.find((it) => SWITCHES.some((index) => it.buttons[index]?.pressed));
    const note = by("gamepad");
    if (pads.length) note.textContent = `${pads[0].id}: hold a shoulder button; sticks move and turn the tool, triggers close and open.`;
    // A pad that went while its switch was held must open the switch: its last word is not repeated.
    this.#pad = pad?.index ?? null;
    if (!pad) return false;
    const axis = (index) => (Math.abs(pad.axes[index] ?? 0) > DEAD_ZONE ? pad.axes[index] : 0);
    wish.linear[0] -= axis(1);
    wish.linear[1] -= axis(0);
    wish.linear[2] -= axis(3);
    wish.angular[2] -= axis(2);
    wish.opening[0] += (pad.buttons[7]?.value ?? 0) - (pad.buttons[6]?.value ?? 0);
    return true;
  }
}
