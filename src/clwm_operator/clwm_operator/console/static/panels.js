// What is told in words: mode and why, task, charge, health, memory, evidence, history.

const by = (id) => document.getElementById(id);

export class Panels {
  #listed = {};
  #last = null; // the newest chunk that the policy has reported

  constructor(live, give) {
    this.live = live;
    this.give = give;
    live.on("hello", (hello) => this.#hello(hello));
    live.on("state", (state) => this.#state(state));
    live.on("chunk", (chunk) => {
      if (chunk.memory_updates !== undefined) this.#last = chunk;
    });
    by("words").onsubmit = (event) => {
      event.preventDefault();
      this.#giveTask(by("sentence").value, "");
    };
    by("ask").onclick = () => give("/ask", { instruction: by("sentence").value, memory: by("memory").value });
    by("world").onsubmit = (event) => {
      event.preventDefault();
      give("/world", { task: by("world_task").value, seed: Number(by("world_seed").value) });
    };
    for (const [key, id] of [["+", "done"], ["-", "failed"]]) {
      by(id).onclick = () => give("/verdict", { is_done: id === "done" });
      addEventListener("keydown", (event) => {
        if (event.key === key && !event.repeat && !event.target.closest?.("input, select, dialog")) by(id).click();
      });
    }
    by("memories").onsubmit = async (event) => {
      event.preventDefault();
      const act = event.submitter === by("restore_memory") ? "restore" : "save";
      const answer = await give(`/memory/${act}`, { name: by("memory_name").value });
      by("memory_said").textContent = answer.message;
    };
    by("record").onclick = () => give("/record", { is_wanted: !this.live.state?.recording.is_on });
    by("take_charge").onclick = () => give("/charge", { take: true });
    by("give_charge").onclick = () => give("/charge", { take: false });
  }

  #giveTask(instruction, goal) {
    return this.give("/task", {
      instruction,
      goal,
      memory: by("memory").value,
      insist: by("insist").checked,
      accept_estimate: by("accept_estimate").checked,
    });
  }

  #hello({ role, facts }) {
    document.body.dataset.role = role;
    for (const button of document.querySelectorAll("button")) button.disabled = role === "VIEWER" && !button.closest("dialog");
    const sentences = Object.entries(facts.goals);
    by("sentences").replaceChildren(
      ...sentences.flatMap(([, words]) => words.map((value) => Object.assign(document.createElement("option"), { value }))),
    );
    by("goals").replaceChildren(
      ...sentences.flatMap(([goal, words]) => [
        element("b", goal.replaceAll("_", " ")),
        ...words.slice(0, 2).map((words_) => {
          const chip = Object.assign(element("button", words_), { type: "button", disabled: role === "VIEWER" });
          chip.onclick = () => {
            by("sentence").value = words_;
            this.#giveTask(words_, "");
          };
          return chip;
        }),
      ]),
    );
    by("world").hidden = !facts.is_simulated;
    by("world_task").replaceChildren(...Object.keys(facts.goals).map((goal) => element("option", goal)));
  }

  #state(state) {
    const mode = by("mode");
    mode.textContent = state.mode;
    mode.className = `mode ${state.mode}`;
    by("why").textContent = capital(state.why);
    by("remedy").textContent = state.remedy;
    by("instruction").textContent = state.instruction ? `“${state.instruction}”` : "no task";
    const verdict = state.verdict;
    by("verdict").className = verdict?.outcome ?? "";
    by("verdict").textContent = verdict
      ? `${verdict.outcome.toLowerCase()}, says ${verdict.judge}${verdict.reason ? `: ${verdict.reason}` : ""}`
      : "";
    by("ends").hidden = !state.instruction;
    const estimate = this.#last?.task_epoch === state.epoch ? this.#last?.success_estimate : null;
    by("estimate").textContent = state.instruction && estimate != null
      ? `the policy's own estimate that it is done: ${estimate.toFixed(2)}` : "";
    by("world_now").textContent = state.world
      ? `now ${state.world.task}, seed ${state.world.seed}, ${state.world.elapsed.toFixed(0)} s`
      : "";
    const { is_on, is_elsewhere, said } = state.recording;
    by("record").textContent = is_on ? "End recording" : "Record";
    by("recorded").textContent = is_elsewhere ? "a recorder runs elsewhere" : said;
    this.#charge(state.charge);
    this.#list("nodes", state.nodes, health);
    this.#facts(state);
    this.#list("memory_names", state.memories, (value) => Object.assign(document.createElement("option"), { value }));
    this.#list("history", [...state.history].reverse(), entry);
  }

  /** One item for each, made anew only when one has changed. */
  #list(id, things, item) {
    const text = JSON.stringify(things);
    if (this.#listed[id] === text) return;
    this.#listed[id] = text;
    by(id).replaceChildren(...things.map(item));
  }

  #charge(charge) {
    const role = this.live.hello?.role;
    const isMine = charge.holder !== null && charge.holder === this.live.hello?.number;
    document.body.dataset.charge = isMine ? "mine" : charge.holder === null ? "nobody" : "other";
    const who = isMine ? "You are in charge" : charge.holder === null ? "Nobody is in charge" : `${charge.name} is in charge`;
    const others = `${charge.operators} operator${charge.operators === 1 ? "" : "s"}, ${charge.viewers} viewer${charge.viewers === 1 ? "" : "s"}`;
    by("charge").textContent = `${who}; you are page ${this.live.hello?.number}, ${role?.toLowerCase()} (${others}).${charge.note ? ` Last: ${charge.note}.` : ""}`;
    by("take_charge").hidden = role !== "OPERATOR" || isMine;
    by("take_charge").textContent = charge.holder === null ? "Take charge" : "Take over charge";
    by("give_charge").hidden = !isMine;
  }

  #facts(state) {
    const last = this.#last;
    const evidence = state.evidence;
    by("facts").dataset.height = state.tools?.[0][2] ?? ""; // of the left tool [m]
    const rows = [
      ["memory", last ? `${last.memory_updates} real observations taken in` : "no chunk yet"],
      ["its hash", last?.memory_digest ?? "-"],
      ["re-entry", last ? `${last.policy}; ${last.nfe_blocking} of ${last.nfe_total} evaluations after the observation` : "-"],
      ["stated deviation", last?.expected_deviation != null ? `${(1000 * last.expected_deviation).toFixed(1)} mm` : "-"],
      ["chunks checked again", evidence.evidence_chunks ?? "-"],
      ["kept what was stated", evidence.evidence_kept ? `${evidence.evidence_kept} (stated ${evidence.evidence_stated})` : "-"],
      ["tools", state.tools ? state.tools.map((tool) => tool.map((it) => it.toFixed(3)).join(", ")).join("  |  ") + " m" : "-"],
      ["grippers", state.openings ? state.openings.map((it) => `${(1000 * it).toFixed(0)} mm`).join("  |  ") : "-"],
    ];
    by("facts").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]));
  }
}

function health(node) {
  const item = document.createElement("li");
  const level = element("b", node.level);
  level.className = node.level;
  item.append(level, ` ${node.name}: ${node.told || "working"}`);
  return item;
}

function entry(order) {
  const item = document.createElement("li");
  item.append(element("time", new Date(1000 * order.at).toLocaleTimeString()), `${order.what}, by ${order.who}`);
  if (order.refusal) {
    const refusal = element("span", `: refused: ${order.refusal}`);
    refusal.className = "refused";
    item.append(refusal);
  }
  return item;
}

function element(kind, text) {
  return Object.assign(document.createElement(kind), { textContent: text });
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
