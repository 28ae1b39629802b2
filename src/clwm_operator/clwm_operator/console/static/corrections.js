// What the last correction by a human was: one key each, also while the arms are held or the policy moves them.

const KEYS = { x: "DISCARDED", v: "RECOVERY", z: "NONE" };
const by = (id) => document.getElementById(id);

export class Corrections {
  constructor(give) {
    this.give = give;
    for (const button of document.querySelectorAll("[data-label]")) button.onclick = () => this.#say(button.dataset.label);
    addEventListener("keydown", (event) => {
      const label = KEYS[event.key.toLowerCase()];
      const isTyping = event.target.closest?.("input, select, textarea, dialog");
      if (!label || event.repeat || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
      this.#say(label);
    });
  }

  async #say(label) {
    if (document.body.dataset.role === "VIEWER") return;
    const answer = await this.give("/correction", { label });
    by("correction").textContent = answer.message;
  }
}
