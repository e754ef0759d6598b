// Programs are kept as edits of others, in lines; a diff is computed when it is opened.

const LINES = /[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])|[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+$/g;
const CONTEXT = 3, MOST_EDITS = 700, MOST_SHOWN = 4000;
const linesOf = text => text.match(LINES) || [];

class Programs {
  // sources: {number: text | {of: number, edits: [[first, end, text]]}}
  constructor(sources) { Object.assign(this, { sources, known: new Map() }); }

  has(number) { return number in this.sources; }

  source(number) {
    const chain = [];
    let at = number;
    while (!this.known.has(at) && typeof this.sources[at] !== "string") {
      chain.push(at);
      at = this.sources[at].of;
    }
    let text = this.known.get(at) ?? this.sources[at];
    for (const each of chain.reverse()) {
      const lines = linesOf(text);
      for (const [first, end, put] of [...this.sources[each].edits].reverse()) lines.splice(first, end - first, put);
      text = lines.join("");
      this.known.set(each, text);
    }
    return text;
  }
}

// Myers 1986, An O(ND) difference algorithm: the steps of a shortest edit script, as [kind, line].
function compared(before, after) {
  let start = 0, end = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  while (end < before.length - start && end < after.length - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  const a = before.slice(start, before.length - end), b = after.slice(start, after.length - end);
  const keep = lines => lines.map(line => [" ", line]);
  return [...keep(before.slice(0, start)), ...shortest(a, b), ...keep(before.slice(before.length - end))];
}

function shortest(a, b) {
  const trace = [], reach = new Map([[1, 0]]), at = k => reach.get(k) ?? -1;
  for (let depth = 0; depth <= Math.min(a.length + b.length, MOST_EDITS); depth++) {
    trace.push(new Map(reach));
    for (let k = -depth; k <= depth; k += 2) {
      let x = k === -depth || (k !== depth && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reach.set(k, x);
      if (x >= a.length && x - k >= b.length) return traced(a, b, trace, depth);
    }
  }
  return [...a.map(line => ["-", line]), ...b.map(line => ["+", line])];  // hardly a line in common
}

function traced(a, b, trace, depth) {
  const steps = [];
  let x = a.length, y = b.length;
  const same = from => {
    for (; x > from; y--) steps.push([" ", a[--x]]);
  };
  for (; depth > 0; depth--) {
    const at = k => trace[depth].get(k) ?? -1, k = x - y;
    const down = k === -depth || (k !== depth && at(k - 1) < at(k + 1));
    same(down ? at(k + 1) : at(k - 1) + 1);
    steps.push(down ? ["+", b[--y]] : ["-", a[--x]]);
  }
  same(0);
  return steps.reverse();
}

// A diff as lines for display: [kind, text]; kind "@" begins a part of the file.
function unified(before, after) {
  const steps = compared(linesOf(before), linesOf(after)), near = new Uint8Array(steps.length), shown = [];
  steps.forEach(([kind], index) => {
    if (kind !== " ") near.fill(1, Math.max(0, index - CONTEXT), index + CONTEXT + 1);
  });
  let old = 1, fresh = 1, within = false;
  steps.forEach(([kind, line], index) => {
    if (near[index]) {
      if (!within) shown.push(["@", `@@ line ${old} → ${fresh} @@`]);
      shown.push([kind, kind + line.replace(/[\r\n]+$/, "")]);
    }
    within = Boolean(near[index]);
    if (kind !== "+") old++;
    if (kind !== "-") fresh++;
  });
  return shown.length > MOST_SHOWN ? [...shown.slice(0, MOST_SHOWN), ["@", `... ${shown.length - MOST_SHOWN} more lines`]] : shown;
}
