// What is drawn: the chunks' timeline, joints against their limits, latency and surrogate error.

const SPAN = 60; // s
const TIMELINE = 12; // s
const COLOURS = ["#58c4dd", "#5fd38a", "#f2c14e", "#f59e5b", "#f0585f", "#a78bfa", "#e6edf3"];
const STYLE = { execute: "#5fd38a", speculate: "#a78bfa", encode: "#58c4dd", verify: "#f2c14e", finish: "#f59e5b", stall: "#f0585f" };
const FAINT = "#93a1b1";
const LINE = "#2b3746";
const by = (id) => document.getElementById(id);

export class Charts {
  #chunks = new Map();
  #joints = [];
  #offset = 0; // s from the page's clock to the stack's
  #facts = null;
  #drawnAt = 0;

  constructor(live) {
    this.live = live;
    live.on("hello", (hello) => (this.#facts = hello.facts));
    live.on("chunk", (chunk) => this.#chunks.set(`${chunk.task_epoch}:${chunk.chunk_id}`, chunk));
    live.on("state", (state) => {
      this.#offset = state.clock - performance.now() / 1000;
      if (state.joints && state.measured_for < 1) this.#joints.push([state.clock, state.joints]);
    });
  }

  draw() {
    if (document.hidden || !this.live.state || performance.now() - this.#drawnAt < 180) return;
    this.#drawnAt = performance.now();
    const now = performance.now() / 1000 + this.#offset;
    this.#joints = this.#joints.filter(([at]) => at > now - SPAN && at < now + 1);
    for (const [key, chunk] of this.#chunks) if (!(chunk.requested_at > now - SPAN && chunk.requested_at < now + 5)) this.#chunks.delete(key);
    this.#timeline(now);
    this.#arm(by("joints_left"), 0, now);
    this.#arm(by("joints_right"), 7, now);
    const chunks = [...this.#chunks.values()].filter((it) => it.outcome === "executed");
    this.#dots("latency", chunks.filter((it) => it.blocking != null).map((it) => [it.sent_at, 1000 * it.blocking]), now, "ms");
    this.#dots("surrogate", chunks.filter((it) => it.surrogate_error != null).map((it) => [it.sent_at, it.surrogate_error]), now, "", this.live.state.alarm);
  }

  #timeline(now) {
    const { paint, width, height } = sheet(by("timeline"));
    const rows = ["arms", "policy", "blocking"];
    const left = 62;
    const row = (height - 16) / rows.length;
    const x = (at) => left + ((at - now + TIMELINE) / TIMELINE) * (width - left);
    paint.fillStyle = FAINT;
    rows.forEach((name, index) => paint.fillText(name, 0, (index + 0.6) * row));
    for (let s = 0; s <= TIMELINE; s += 2) {
      rule(paint, x(now - s), 0, x(now - s), height - 14);
      paint.fillText(s ? `-${s} s` : "now", Math.min(x(now - s) - 12, width - 26), height - 2);
    }
    const bar = (index, from, to, colour) => {
      if (from == null || to == null || to < now - TIMELINE) return;
      paint.fillStyle = colour;
      const begin = Math.max(left, x(from));
      paint.fillRect(begin, index * row + 4, Math.max(1.5, x(to) - begin - 1), row - 8);
    };
    for (const it of this.#chunks.values()) {
      if (it.outcome !== "executed") continue;
      bar(0, it.starts_at, it.rows_end_at, STYLE.execute);
      if (it.stall > 0) bar(0, it.first_motion_at - it.stall, it.first_motion_at, STYLE.stall);
      if (it.speculation) bar(1, ...it.speculation, STYLE.speculate);
      if (it.frame_arrived_at == null) continue;
      bar(2, it.observation_stamp, it.frame_arrived_at, STYLE.encode);
      const verified = it.frame_arrived_at + it.memory_seconds + it.context_seconds;
      bar(2, it.frame_arrived_at, verified, STYLE.verify);
      bar(2, verified, it.finished_at, STYLE.finish);
    }
  }

  #arm(canvas, first, now) {
    if (!this.#facts) return;
    const { paint, width, height } = sheet(canvas);
    const bottom = height - 16;
    const { lower, upper, joint_names: names } = this.#facts;
    const y = (share) => bottom * (1 - share);
    paint.fillStyle = "#f0585f22";
    paint.fillRect(0, 0, width, y(0.95));
    paint.fillRect(0, y(0.05), width, bottom - y(0.05));
    rule(paint, 0, y(0.5), width, y(0.5));
    for (let joint = 0; joint < names.length / 2; joint++) {
      const index = first + joint;
      paint.strokeStyle = COLOURS[joint];
      paint.lineWidth = 1.5;
      paint.beginPath();
      this.#joints.forEach(([at, joints], count) => {
        const place = [((at - now + SPAN) / SPAN) * width, y((joints[index] - lower[index]) / (upper[index] - lower[index]))];
        if (count) paint.lineTo(...place);
        else paint.moveTo(...place);
      });
      paint.stroke();
      paint.fillStyle = COLOURS[joint];
      paint.fillText(`${joint + 1}`, 4 + joint * 18, height - 2);
    }
    paint.fillStyle = FAINT;
    paint.fillText("upper limit", width - 62, 11);
    paint.fillText("lower limit", width - 62, bottom - 4);
  }

  #dots(id, points, now, unit, limit = null) {
    const { paint, width, height } = sheet(by(id));
    const bottom = height - 16;
    const top = 1.15 * Math.max(limit ?? 0, ...points.map(([, value]) => value), unit ? 100 : 0.5);
    const y = (value) => bottom * (1 - value / top);
    rule(paint, 0, bottom, width, bottom);
    paint.fillStyle = FAINT;
    paint.fillText(`${top.toFixed(unit ? 0 : 2)} ${unit}`, 2, 10);
    paint.fillText("-60 s", 2, height - 2);
    paint.fillText("now", width - 24, height - 2);
    if (limit != null) {
      paint.setLineDash([5, 4]);
      rule(paint, 0, y(limit), width, y(limit), STYLE.stall);
      paint.setLineDash([]);
      paint.fillStyle = STYLE.stall;
      paint.fillText(`alarm ${limit.toFixed(2)}`, width - 70, y(limit) - 4);
    }
    for (const [at, value] of points) {
      paint.fillStyle = limit != null && value > limit ? STYLE.stall : STYLE.encode;
      paint.beginPath();
      paint.arc(((at - now + SPAN) / SPAN) * width, y(value), 3, 0, 7);
      paint.fill();
    }
    const sorted = points.map(([, value]) => value).sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    const digits = unit ? 0 : 2;
    by(`${id}_now`).textContent = sorted.length ? `median ${at(0.5).toFixed(digits)} ${unit}, 95 % ${at(0.95).toFixed(digits)} ${unit}` : "no chunk in the last minute";
  }
}

/** A clean canvas of its own size in CSS pixels. */
function sheet(canvas) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = (canvas.dataset.height ??= canvas.getAttribute("height")) * 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  const paint = canvas.getContext("2d");
  paint.scale(ratio, ratio);
  paint.font = "11px system-ui";
  return { paint, width, height };
}

function rule(paint, x0, y0, x1, y1, colour = LINE) {
  paint.strokeStyle = colour;
  paint.lineWidth = 1;
  paint.beginPath();
  paint.moveTo(x0, y0);
  paint.lineTo(x1, y1);
  paint.stroke();
}
