// The page of all trials: chart, list, and a panel with one trial and its diff.

const PAGE = 150;  // rows of the list that are made at a time: browsers take seconds for thousands

function start(data) {
  const byId = id => document.getElementById(id), chartBox = byId("chart"), panel = byId("panel"), body = byId("rows"), list = byId("list");
  const trials = new Map(data.trials.map(each => [each.number, each])), programs = new Programs(data.sources);
  const hidden = new Set(), state = { selected: null, against: "parent", sort: "rank", down: false };
  const live = new Live(data, () => ({ ...state, hidden: [...hidden], words: byId("words").value, alone: chart.alone,
    view: [chart.scale, chart.across, chart.down], scrolls: [list.scrollTop, panel.scrollTop, scrollY] }));
  const off = trial => hidden.has(trial.status) || (byId("words").value !== "" && !trial.searched.includes(byId("words").value.toLowerCase()));
  for (const trial of data.trials) trial.searched = `#${trial.number} ${trial.status} ${trial.operator} ${trial.text} ${trial.rationale}`.toLowerCase();
  const chart = new Chart(chartBox, data, { zoom: true, edges: true, select, tip: tipOf });
  chart.off = off;

  const rows = new Map();
  let order = [], first = 0, last = 0;  // trials of the list, and the part of them that has rows
  list.addEventListener("scroll", grow);
  legend(byId("legend"), data, data.counts, (status, button) => {
    const pressed = hidden.has(status);
    pressed ? hidden.delete(status) : hidden.add(status);
    button.setAttribute("aria-pressed", String(pressed));
    filter();
  });
  byId("words").addEventListener("input", filter);
  byId("alone").addEventListener("click", () => alone(!chart.alone));
  byId("closer").addEventListener("click", () => chart.zoomMiddle(1.6));
  byId("wider").addEventListener("click", () => chart.zoomMiddle(1 / 1.6));
  byId("fit").addEventListener("click", () => chart.fit());
  for (const head of document.querySelectorAll("th button")) head.addEventListener("click", () => sort(head.dataset.key, state.sort === head.dataset.key && !state.down));
  addEventListener("hashchange", () => select(Number(location.hash.slice(2))));
  addEventListener("keydown", event => {
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && state.selected !== null) move(step);
    if (event.key === "Escape") select(null);
  });

  function tipOf(trial) {
    const value = trial.value === null ? "" : ` ${trial.shown}${trial.delta && ` (${trial.delta})`}`;
    return `#${trial.number} ${words(trial.status)}${value}: ${trial.text}`;
  }

  function rowOf(trial) {
    if (rows.has(trial.number)) return rows.get(trial.number);
    const cell = (name, ...parts) => element("td", { class: name }, ...parts);
    const row = element("tr", { id: `t${trial.number}`, class: trial.number === data.best ? "best" : undefined },
      cell("number", element("button", { type: "button", class: "link" }, `#${trial.number}`)), cell("status", swatch(trial.status, data.marks), element("span", { class: "wide" }, words(trial.status))),
      cell("number", trial.shown), cell("number", trial.delta), cell("number wide", String(trial.n || "")), cell("wide", trial.parents.map(each => `#${each}`).join(" ")),
      cell("wide", trial.operator), cell("text", element("div", { class: "two" }, trial.text)));
    row.addEventListener("click", () => select(trial.number));
    row.classList.toggle("selected", trial.number === state.selected);
    rows.set(trial.number, row);
    return row;
  }

  function fillFrom(place) {
    first = Math.max(0, place - PAGE / 2);
    last = Math.min(order.length, first + PAGE);
    body.replaceChildren(...order.slice(first, last).map(rowOf));
  }

  function grow() {
    if (last < order.length && list.scrollTop + 2 * list.clientHeight > list.scrollHeight) {
      const from = last;
      last = Math.min(order.length, last + PAGE);
      body.append(...order.slice(from, last).map(rowOf));
    }
    if (first > 0 && list.scrollTop < list.clientHeight) {
      const to = first, before = list.scrollHeight;
      first = Math.max(0, first - PAGE);
      body.prepend(...order.slice(first, to).map(rowOf));
      list.scrollTop += list.scrollHeight - before;
    }
  }

  function sort(key, down) {
    Object.assign(state, { sort: key, down });
    const of = trial => ({ parents: trial.parents[0] ?? -1, delta: trial.amount, text: trial.text.toLowerCase() })[key] ?? trial[key];
    const empty = each => each === null || each === "" || each === undefined;
    data.trials.sort((one, other) => {
      const [a, b] = [of(one), of(other)];
      if (empty(a) || empty(b)) return empty(a) - empty(b) || one.rank - other.rank;  // what is missing comes last
      return ((a > b) - (a < b)) * (down ? -1 : 1) || one.rank - other.rank;
    });
    for (const head of document.querySelectorAll("th")) {
      const mine = head.firstElementChild?.dataset.key === key;
      mine ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort");
    }
    filter();
  }

  function filter() {
    order = data.trials.filter(each => !off(each) && chart.visible(each));
    fillFrom(0);
    list.scrollTop = 0;
    byId("count").textContent = order.length === data.trials.length ? `${order.length} trials` : `${order.length} of ${data.trials.length} trials`;
    chart.show();
  }

  function alone(on) {
    chart.alone = on;
    byId("alone").setAttribute("aria-pressed", String(on));
    filter();
  }

  function move(step) {
    const next = order[order.findIndex(each => each.number === state.selected) + step];
    if (next !== undefined) select(next.number);
  }

  function select(number, quiet) {
    rows.get(state.selected)?.classList.remove("selected");
    state.selected = trials.has(number) ? number : null;
    chart.selected = state.selected;
    chart.show();
    document.body.classList.toggle("open", state.selected !== null);
    if (state.selected === null) return;
    rows.get(number)?.classList.add("selected");
    fill(trials.get(number));
    if (quiet) return;
    const place = order.findIndex(each => each.number === number);
    if (place >= 0 && (place < first || place >= last)) fillFrom(place);
    if (place >= 0) list.scrollTop = rows.get(number).offsetTop - list.clientHeight / 2;
    panel.scrollTop = 0;
    if (matchMedia("(max-width: 60rem)").matches) panel.scrollIntoView({ block: "start" });
    try { history.replaceState(null, "", `#t${number}`); } catch { /* not a page of its own */ }
  }

  function fill(trial) {
    const go = number => element("button", { type: "button", onclick: () => select(number), disabled: trials.has(number) ? false : "" }, `#${number}`);
    const children = data.trials.filter(each => each.parents.includes(trial.number));
    const line = (name, ...parts) => parts.some(each => each) ? element("p", { class: "facts" }, element("span", { class: "dim" }, name), ...parts) : null;
    const facts = [trial.n && `${trial.n} scored training${trial.n > 1 ? "s" : ""}`, trial.seconds && `${trial.seconds} s of training`, trial.cost && `${trial.cost} USD`, trial.model].filter(Boolean);
    panel.replaceChildren(...[
      element("div", { class: "head" }, element("strong", {}, `#${trial.number}`), swatch(trial.status, data.marks), `${words(trial.status)} ${trial.shown}`,
        element("button", { type: "button", class: "close", "aria-label": "close", onclick: () => select(null) }, "×")),
      element("p", {}, trial.delta ? `delta to parent: ${trial.delta}` : "", trial.delta && trial.number === data.best ? ", the best" : ""),
      element("p", { class: "what" }, trial.text), trial.rationale && element("p", { class: "dim what" }, trial.rationale),
      element("p", { class: "dim" }, [trial.operator, ...facts].join(", ")),
      line("parents", ...trial.parents.map(go)), line("children", ...children.slice(0, 40).map(each => go(each.number)), children.length > 40 ? ` and ${children.length - 40} more` : ""),
      diffOf(trial)].filter(Boolean));
  }

  function diffOf(trial) {
    const parent = trial.parents[0], box = element("div", {});
    if (!programs.has(trial.number)) return element("p", { class: "dim" }, trial.built ? `The program is not on this page: see trials/${String(trial.number).padStart(4, "0")}/diff.patch.` : "It has no program.");
    if (trial.number === 0) return element("p", { class: "dim" }, "The seed program.");
    const choices = { parent: programs.has(parent) ? `parent #${parent}` : null, seed: programs.has(0) && parent !== 0 ? "seed program #0" : null };
    const against = choices[state.against] ? state.against : choices.parent ? "parent" : "seed";
    if (!choices[against]) return element("p", { class: "dim" }, "The program of its parent is not on this page.");
    const buttons = Object.entries(choices).filter(each => each[1]).map(([key, text]) =>
      element("button", { type: "button", "data-against": key, "aria-pressed": String(key === against), onclick: () => { state.against = key; fill(trial); } }, text));
    const lines = unified(programs.source(against === "seed" ? 0 : parent), programs.source(trial.number));
    const kinds = { "+": "add", "-": "del", "@": "hunk" };
    box.append(element("p", { class: "facts" }, element("span", { class: "dim" }, "diff against"), ...buttons),
      element("pre", { id: "diff" }, ...lines.map(([kind, text]) => element("div", { class: kinds[kind] || undefined }, text || " "))));
    if (!lines.length) box.append(element("p", { class: "dim" }, "The programs are equal."));
    return box;
  }

  const kept = live.kept();
  byId("words").value = kept.words || "";
  state.against = kept.against || "parent";
  for (const status of kept.hidden || []) byId("legend").querySelector(`[data-status="${CSS.escape(status)}"]`)?.click();
  sort(kept.sort || "rank", kept.down || false);
  chart.draw();
  if (kept.view) {
    [chart.scale, chart.across, chart.down] = kept.view;
    chart.settle();
  }
  alone(Boolean(kept.alone));
  const asked = /^#t\d+$/.test(location.hash) ? Number(location.hash.slice(2)) : kept.selected ?? null;
  if (asked !== null) select(asked, Boolean(kept.scrolls));
  if (kept.scrolls) {
    [list.scrollTop, panel.scrollTop] = kept.scrolls;
    scrollTo(0, kept.scrolls[2]);
  }
  byId("alone").disabled = data.best === null || data.path.length < 2;
}

unpacked().then(start);
