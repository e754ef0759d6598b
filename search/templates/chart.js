// A chart of all trials: their value by order of the verdicts; those without a value have a row each above it.

const LEFT = 80, RIGHT = 14, BOTTOM = 22, LANE = 13, NEAR = 12, MOST_LABELS = 40;

function niceTicks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(each => each * power).find(each => each >= raw * 0.999);
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high; index++) ticks.push(index * step);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

class Chart {
  // data: trials [{number, rank, status, value, title, parents}], ranks, range [low, high], marks, and perhaps
  // champions [{rank, value}], noise, path; options: zoom, edges, select(number), tip(trial).
  constructor(box, data, options) {
    Object.assign(this, { box, data, options, scale: 1, across: 0, down: 0, selected: null, off: () => false, alone: false });
    this.onPath = new Set(data.path || []);
    this.byNumber = new Map(data.trials.map(each => [each.number, each]));
    const failed = [...new Set(data.trials.filter(each => each.value === null).map(each => each.status))];
    this.lanes = new Map(failed.map((status, index) => [status, index]));
    this.above = data.trials.some(each => this.isOff(each));
    this.top = 8 + LANE * (failed.length + (this.above ? 1 : 0)) + 6;
    this.svg = drawn("svg", { role: "img", "aria-label": data.label });
    this.clip = drawn("rect", {});
    this.laneClip = drawn("rect", { x: LEFT - 8, y: 0, height: 10000 });
    const clips = [["plot", this.clip], ["lanes", this.laneClip]].map(([id, area]) => {
      const clip = drawn("clipPath", { id });
      clip.append(area);
      return clip;
    });
    const defs = drawn("defs", {});
    defs.append(...clips);
    this.axes = drawn("g", {});
    this.plot = drawn("g", { "clip-path": "url(#plot)" });
    this.unscored = drawn("g", { "clip-path": "url(#lanes)" });
    this.labels = drawn("g", {});
    this.svg.append(defs, this.axes, this.plot, this.unscored, this.labels);
    this.tip = element("div", { class: "tip", hidden: "" });
    box.replaceChildren(this.svg, this.tip);
    this.build();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(box);
  }

  build() {
    this.edges = [];
    if (this.options.edges)
      for (const trial of this.data.trials)
        trial.parents.forEach((parent, index) => {
          if (!this.byNumber.has(parent)) return;
          const best = index === 0 && this.onPath.has(trial.number), kind = best ? "edge best" : trial.value === null ? "edge lost" : "edge";
          this.edges.push({ line: drawn("path", { class: kind }), from: this.byNumber.get(parent), to: trial, best });
        });
    this.edges.sort((one, other) => one.best - other.best);
    this.nodes = this.data.trials.map(trial => {
      const mark = markOf(trial.status, this.data.marks), high = this.isOff(trial);
      const shape = drawn("path", { d: high ? this.data.above : mark.path, fill: mark.fill, "vector-effect": "non-scaling-stroke",
        class: mark.outlined ? "mark outlined" : "mark" });
      return { trial, shape, size: mark.size };
    });
    const order = ["discard", "unmeasured", "pruned"];
    this.nodes.sort((one, other) => order.includes(other.trial.status) - order.includes(one.trial.status));
    this.band = drawn("path", { class: "band" });
    this.base = drawn("line", { class: "base" });
    this.step = drawn("path", { class: "step" });
    this.ring = drawn("circle", { class: "selected", r: 9 });
    const inLane = ({ trial }) => trial.value === null || this.isOff(trial);
    this.plot.append(this.band, this.base, ...this.edges.filter(each => !inLane({ trial: each.to })).map(each => each.line), this.step, ...this.nodes.filter(each => !inLane(each)).map(each => each.shape));
    this.unscored.append(...this.edges.filter(each => inLane({ trial: each.to })).map(each => each.line), ...this.nodes.filter(inLane).map(each => each.shape), this.ring);
    this.svg.style.setProperty("--edge", Math.min(0.35, 0.04 + 60 / (this.edges.length + 1)).toFixed(3));
  }

  isOff(trial) {  // too much worse than the others to be drawn to scale
    const [low, high] = this.data.range;
    return trial.value !== null && (this.data.maximized ? trial.value < low : trial.value > high);
  }

  x(rank) { return LEFT + this.across + this.scale * this.width * (rank + 0.5) / Math.max(this.data.ranks, 1); }

  y(value) {
    const [low, high] = this.data.range;
    return this.top + this.down + this.scale * this.height * (high - value) / (high - low);
  }

  place(trial) {
    const lane = trial.value === null ? this.lanes.get(trial.status) : this.isOff(trial) ? this.lanes.size : null;
    return { x: this.x(trial.rank), y: lane === null ? this.y(trial.value) : 12 + LANE * lane };
  }

  draw() {
    const whole = { width: this.box.clientWidth, height: this.box.clientHeight };
    this.width = Math.max(40, whole.width - LEFT - RIGHT);
    this.height = Math.max(40, whole.height - this.top - BOTTOM);
    this.svg.setAttribute("viewBox", `0 0 ${whole.width} ${whole.height}`);
    for (const [name, value] of Object.entries({ x: LEFT - 8, y: this.top - 8, width: this.width + 8 + RIGHT, height: this.height + 8 })) this.clip.setAttribute(name, value);
    this.laneClip.setAttribute("width", this.width + 8 + RIGHT);
    this.drawAxes(whole);
    this.drawChampions();
    for (const { line, from, to } of this.edges) {
      const a = this.place(from), b = this.place(to), middle = (a.x + b.x) / 2;
      line.setAttribute("d", `M${a.x.toFixed(1)},${a.y.toFixed(1)}C${middle.toFixed(1)},${a.y.toFixed(1)} ${middle.toFixed(1)},${b.y.toFixed(1)} ${b.x.toFixed(1)},${b.y.toFixed(1)}`);
    }
    const crowd = this.width * this.scale / Math.max(this.data.ranks, 1);
    const shrink = Math.min(1, Math.max(0.55, crowd / 6));
    this.svg.classList.toggle("crowded", crowd < 2);
    for (const node of this.nodes) {
      const { x, y } = this.place(node.trial);
      node.x = x;
      node.y = y;
      const important = ["keep", "baseline"].includes(node.trial.status);
      node.shape.setAttribute("transform", `translate(${x.toFixed(1)},${y.toFixed(1)})scale(${(node.size * (important ? Math.max(shrink, 0.8) : shrink)).toFixed(2)})`);
    }
    this.show();
  }

  drawAxes(whole) {
    const [low, high] = this.data.range, parts = [];
    const shown = [high - (this.height - this.down) / this.scale / this.height * (high - low), high + this.down / this.scale / this.height * (high - low)];
    const { ticks, digits } = niceTicks(shown[0], shown[1], Math.max(2, this.height / 60));
    for (const tick of this.data.trials.some(each => each.value !== null) ? ticks : []) {
      const y = this.y(tick);
      parts.push(drawn("line", { class: "grid", x1: LEFT, x2: whole.width, y1: y, y2: y }), drawn("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, tick.toFixed(digits)));
    }
    const first = -this.across / this.scale / this.width * this.data.ranks, last = first + this.data.ranks / this.scale;
    for (const tick of niceTicks(first, last, this.width / 90).ticks.filter(each => Number.isInteger(each) && each >= 0 && each < this.data.ranks))
      parts.push(drawn("text", { x: this.x(tick), y: whole.height - 7, "text-anchor": "middle" }, String(tick)));
    parts.push(drawn("text", { x: 4, y: whole.height - 7 }, "verdict"));
    for (const [status, lane] of this.lanes) parts.push(drawn("text", { x: LEFT - 8, y: 16 + LANE * lane, "text-anchor": "end", class: "lane" }, words(status).replace("out of memory", "memory").slice(0, 10)));
    if (this.above) parts.push(drawn("text", { x: LEFT - 8, y: 16 + LANE * this.lanes.size, "text-anchor": "end" }, "off scale"));
    this.axes.replaceChildren(...parts);
  }

  drawChampions() {
    const { champions = [], noise } = this.data;
    if (!champions.length) return;
    const corners = champions.map((each, index) => ({ from: this.x(each.rank), to: this.x(index + 1 < champions.length ? champions[index + 1].rank : this.data.ranks - 0.5), value: each.value }));
    const along = shift => corners.map(each => `${each.from.toFixed(1)},${this.y(each.value + shift).toFixed(1)} ${each.to.toFixed(1)},${this.y(each.value + shift).toFixed(1)}`);
    this.step.setAttribute("d", `M${along(0).join("L")}`);
    const back = corners.map(each => `${each.to.toFixed(1)},${this.y(each.value - noise).toFixed(1)} ${each.from.toFixed(1)},${this.y(each.value - noise).toFixed(1)}`).reverse();
    this.band.setAttribute("d", noise ? `M${along(noise).join("L")}L${back.join("L")}Z` : "");
    for (const [name, value] of Object.entries({ x1: LEFT, x2: LEFT + this.width, y1: this.y(champions[0].value), y2: this.y(champions[0].value) })) this.base.setAttribute(name, value);
  }

  visible(trial) { return !this.alone || this.onPath.has(trial.number); }

  show() {
    for (const { trial, shape } of this.nodes) {
      shape.classList.toggle("gone", !this.visible(trial));
      shape.classList.toggle("off", this.off(trial));
    }
    for (const { line, from, to, best } of this.edges) {
      line.classList.toggle("gone", this.alone && !best);
      line.classList.toggle("off", !best && (this.off(from) || this.off(to)));
      line.classList.toggle("near", this.selected !== null && (from.number === this.selected || to.number === this.selected));
    }
    const chosen = this.nodes.find(each => each.trial.number === this.selected);
    this.ring.classList.toggle("gone", !chosen);
    if (chosen) for (const [name, value] of Object.entries({ cx: chosen.x, cy: chosen.y })) this.ring.setAttribute(name, value);
    this.drawLabels();
  }

  drawLabels() {
    const taken = [], parts = [];
    const weight = ({ trial }) => (trial.number === this.selected) * 8 + (trial.number === this.data.best) * 4 + ["keep", "baseline"].includes(trial.status) * 2 + this.onPath.has(trial.number);
    const few = this.width * this.scale / Math.max(this.data.ranks, 1) > 26;
    const wanted = this.nodes.filter(each => this.visible(each.trial) && !this.off(each.trial) && (weight(each) || (few && this.options.edges)) && each.x > LEFT - 8 && each.x < LEFT + this.width + RIGHT && each.y > (each.trial.value === null ? 0 : this.top - 8) && each.y < this.top + this.height);
    for (const node of wanted.sort((one, other) => weight(other) - weight(one))) {
      const text = `#${node.trial.number}`, wide = 7 * text.length + 4;
      const atEnd = node.x + 8 + wide > LEFT + this.width + RIGHT;
      const left = atEnd ? node.x - 8 - wide : node.x + 8;
      const under = atEnd && !this.data.maximized && node.y + 18 < this.top + this.height + BOTTOM;  // the line comes from above
      const base = under ? node.y + 14 : Math.max(10, node.y - 5);
      const place = [left, base - 11, left + wide, base + 3];
      if (taken.some(each => place[0] < each[2] && each[0] < place[2] && place[1] < each[3] && each[1] < place[3])) continue;
      taken.push(place);
      parts.push(drawn("text", { class: "label", x: left, y: base }, text));
      if (parts.length >= MOST_LABELS) break;
    }
    this.labels.replaceChildren(...parts);
  }

  near(event) {
    const box = this.svg.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let found = null, least = NEAR;
    for (const node of this.nodes) {
      const away = Math.hypot(node.x - x, node.y - y);
      if (away <= least && this.visible(node.trial) && !this.off(node.trial)) [found, least] = [node, away];
    }
    return found;
  }

  zoom(factor, x, y) {
    const scale = Math.min(60, Math.max(1, this.scale * factor)), real = scale / this.scale;
    this.across = x - LEFT - real * (x - LEFT - this.across);
    this.down = y - this.top - real * (y - this.top - this.down);
    this.scale = scale;
    this.settle();
  }

  settle() {
    this.across = Math.min(0, Math.max(this.width * (1 - this.scale), this.across));
    this.down = Math.min(0, Math.max(this.height * (1 - this.scale), this.down));
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  zoomMiddle(factor) { this.zoom(factor, LEFT + this.width / 2, this.top + this.height / 2); }

  fit() {
    Object.assign(this, { scale: 1, across: 0, down: 0 });
    this.draw();
  }

  listen() {
    const fingers = new Map();
    let moved = 0;
    this.svg.addEventListener("pointerdown", event => {
      fingers.set(event.pointerId, event);
      moved = 0;
    });
    this.svg.addEventListener("pointermove", event => {
      this.hover(fingers.size ? null : this.near(event), event);
      const before = fingers.get(event.pointerId);
      if (!before || !this.options.zoom) return;
      const shift = [event.clientX - before.clientX, event.clientY - before.clientY];
      moved += Math.hypot(...shift);
      if (moved > 4 && !this.svg.hasPointerCapture(event.pointerId)) this.svg.setPointerCapture(event.pointerId);
      if (fingers.size === 2) {
        const [other] = [...fingers.values()].filter(each => each.pointerId !== event.pointerId), box = this.svg.getBoundingClientRect();
        const apart = each => Math.max(10, Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY));
        this.zoom(apart(event) / apart(before), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
      } else {
        this.across += shift[0];
        this.down += shift[1];
        this.settle();
      }
      fingers.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"])
      this.svg.addEventListener(name, event => {
        if (fingers.delete(event.pointerId) && name === "pointerup" && moved <= 4) {
          const node = this.near(event);
          if (node) this.options.select(node.trial.number);
        }
      });
    this.svg.addEventListener("pointerleave", () => this.hover(null));
    if (!this.options.zoom) return;
    this.svg.style.touchAction = "none";
    this.svg.addEventListener("wheel", event => {
      event.preventDefault();
      const box = this.svg.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.svg.addEventListener("dblclick", () => this.zoomMiddle(2));
  }

  hover(node, event) {
    this.tip.hidden = !node;
    if (!node) return;
    this.tip.textContent = this.options.tip(node.trial);
    const left = Math.min(node.x + 12, this.box.clientWidth - this.tip.offsetWidth - 4);
    const below = node.y + 14 + this.tip.offsetHeight < this.box.clientHeight;
    this.tip.style.left = `${Math.max(4, left)}px`;
    this.tip.style.top = `${below ? node.y + 14 : Math.max(4, node.y - this.tip.offsetHeight - 10)}px`;
  }
}

function legend(box, data, counts, toggle) {
  box.replaceChildren(...Object.entries(counts).map(([status, count]) => {
    const text = `${words(status)} (${count})`;
    return toggle ? element("button", { type: "button", "aria-pressed": "true", "data-status": status, onclick: event => toggle(status, event.currentTarget) }, swatch(status, data.marks), text)
      : element("span", {}, swatch(status, data.marks), text);
  }));
}
