// Puts the page together.

import { Cameras } from "./cameras.js";
import { Charts } from "./charts.js";
import { Corrections } from "./corrections.js";
import { Live } from "./live.js";
import { order } from "./orders.js";
import { Panels } from "./panels.js";
import { Steering } from "./steering.js";

const OLD = 800; // ms; together with the time between two looks the page says within 1 s that it is old
const TWICE = 1000; // ms between two presses of Escape that mean ESTOP
const by = (id) => document.getElementById(id);

const live = new Live();
const cameras = new Cameras(by("cameras"), live);
const charts = new Charts(live);
const panels = new Panels(live, give);
const steering = new Steering(live, give);
new Corrections(give);
let told = 0;

/** Give an order, and show what was answered. */
async function give(path, body) {
  const answer = await order(path, body);
  say(answer.message || (answer.ok ? "done" : "refused"), !answer.ok);
  if (answer.status === 401) logIn();
  return answer;
}

function say(text, isRefusal) {
  const place = by("answer");
  place.textContent = text;
  place.classList.toggle("refused", isRefusal);
  place.hidden = false;
  clearTimeout(told);
  told = setTimeout(() => (place.hidden = true), isRefusal ? 8000 : 3500);
}

const stop = (path) => {
  steering.release();
  return give(path);
};
by("hold").onclick = () => stop("/hold");
by("estop").onclick = () => stop("/estop");
let escapedAt = -Infinity;
addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Escape" || event.repeat) return;
    event.preventDefault();
    const isSecond = performance.now() - escapedAt < TWICE;
    escapedAt = performance.now();
    stop(isSecond ? "/estop" : "/hold");
  },
  { capture: true },
);

setInterval(() => {
  live.look();
  const isOld = live.age > OLD;
  document.body.classList.toggle("old", isOld);
  by("old").hidden = !isOld;
  if (isOld) {
    const since = live.age === Infinity ? "nothing has come yet" : `what this page shows is ${(live.age / 1000).toFixed(1)} s old`;
    by("old").textContent = `No live connection: ${since}. HOLD and ESTOP go their own way and still work.`;
    steering.release();
  }
  if (live.state) cameras.look(live.state, live.age / 1000);
  charts.draw();
}, 100);

async function logIn() {
  const dialog = by("login");
  if (dialog.open) return;
  dialog.showModal();
  by("token").focus();
}
by("log_in").onclick = async (event) => {
  event.preventDefault();
  const answer = await order("/login", { token: by("token").value });
  by("token").value = "";
  by("login_problem").textContent = answer.ok ? "" : answer.message;
  if (!answer.ok) return;
  by("login").close();
  live.connect();
};
by("login").addEventListener("cancel", (event) => event.preventDefault());

const me = await (await fetch("/me")).json();
if (me.role === null) logIn();
else live.connect();
live.on("closed", async () => {
  const now = await fetch("/me").then((it) => it.json()).catch(() => null);
  if (now && now.role === null) logIn();
});
