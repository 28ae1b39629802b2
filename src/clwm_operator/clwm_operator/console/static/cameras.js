// The cameras, each with its newest picture.

const ARMS = ["#f59e5b", "#58c4dd"]; // the paths of the left and of the right tool

export class Cameras {
  #figures = [];

  constructor(place, live) {
    this.place = place;
    this.live = live;
    live.on("hello", (hello) => this.#build(hello.facts.cameras));
    live.on("picture", (picture) => this.#show(picture));
    live.on("path", (path) => {
      const figure = this.#figures.find((it) => it.name === path.camera);
      if (figure) figure.path = path;
    });
  }

  /** Mark what is old. sinceState: s since the newest state came. */
  look(state, sinceState) {
    for (const figure of this.#figures) {
      const known = state.cameras[figure.name];
      // Old at the console, or on the way here.
      const age = Math.max(known ? known.age + sinceState : Infinity, (performance.now() - figure.shownAt) / 1000);
      figure.element.classList.toggle("stale", age > 1);
      const told = known?.problem || (age === Infinity ? "no picture" : age > 1 ? `${age.toFixed(0)} s old` : "");
      this.#draw(figure, state.clock + sinceState, state);
      figure.caption.textContent = told ? `${figure.name}: ${told}` : figure.name;
    }
  }

  /** Where the tools of the newest chunk still go, until its rows have run. */
  #draw({ overlay, image, path }, now, state) {
    const width = (overlay.width = overlay.clientWidth);
    const height = (overlay.height = overlay.clientHeight);
    const isOver = !path || path.epoch !== state.epoch || now > path.stamp + path.dt * path.tools[0].length;
    if (isOver || state.mode !== "POLICY" || !image.naturalWidth) return;
    const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
    const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
    const paint = overlay.getContext("2d");
    const first = Math.max(0, Math.floor((now - path.stamp) / path.dt));
    path.tools.forEach((points, arm) => {
      paint.strokeStyle = paint.fillStyle = ARMS[arm];
      paint.lineWidth = 3;
      paint.beginPath();
      const places = points.slice(first).filter(Boolean).map(([u, v]) => [(width - w) / 2 + u * w, (height - h) / 2 + v * h]);
      places.forEach(([x, y], index) => (index ? paint.lineTo(x, y) : paint.moveTo(x, y)));
      paint.stroke();
      const last = places.at(-1);
      if (last) {
        paint.beginPath();
        paint.arc(...last, 5, 0, 7);
        paint.fill();
      }
    });
  }

  #build(names) {
    if (this.#figures.map((it) => it.name).join() === names.join()) return;
    this.#figures = names.map((name) => {
      const element = Object.assign(document.createElement("figure"), { className: "camera stale" });
      const image = Object.assign(document.createElement("img"), { alt: `camera ${name}` });
      const overlay = document.createElement("canvas");
      const caption = Object.assign(document.createElement("figcaption"), { textContent: name });
      element.dataset.camera = name;
      element.append(image, overlay, caption);
      return { name, element, image, overlay, caption, shown: 0, shownAt: -Infinity };
    });
    this.place.replaceChildren(...this.#figures.map((it) => it.element));
  }

  #show({ camera, jpeg }) {
    const figure = this.#figures[camera];
    if (!figure) return;
    const url = URL.createObjectURL(jpeg);
    const shown = () => {
      figure.shownAt = performance.now();
      done();
    };
    const done = () => {
      URL.revokeObjectURL(url);
      figure.element.dataset.shown = String(++figure.shown);
      this.live.send({ kind: "got", camera });
    };
    figure.image.onload = shown;
    figure.image.onerror = done;
    figure.image.src = url;
  }
}
