// What both pages need: elements, marks, the payload, and a page that stays up to date.

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    if (name === "onclick") made.addEventListener("click", value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value);
  made.append(...children.filter(child => child !== null && child !== ""));
  return made;
}

function drawn(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

async function unpacked() {
  const packed = Uint8Array.from(atob(document.getElementById("payload").textContent), each => each.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

function markOf(status, marks) {
  const mark = marks[status];
  const outlined = mark.colour === "#000000" || mark.colour === "#f0e442";  // too dark or too light for one of the pages
  return { ...mark, outlined, fill: mark.colour === "#000000" ? "var(--text)" : mark.colour };
}

function swatch(status, marks) {
  const mark = markOf(status, marks);
  const picture = drawn("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" });
  picture.append(drawn("path", {
    d: mark.path, fill: mark.fill, class: mark.outlined ? "swatch outlined" : "swatch", "vector-effect": "non-scaling-stroke",
    transform: `scale(${mark.size})` }));
  return picture;
}

const words = status => status.replaceAll("_", " ");

function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 360) / 10} h ago`;
}

// A page of a running search reads itself again. What the reader has opened, and where, is kept for the next reading.
class Live {
  constructor(payload, save) {
    const seconds = payload.reload_seconds;
    this.key = `graft ${location.pathname}`;
    this.payload = payload;
    this.touched = 0;
    const note = document.getElementById("live");
    const tell = () => {
      const age = Date.now() / 1000 - payload.written;
      const late = payload.running && age > Math.max(600, 4 * seconds);
      note.className = late ? "old" : "dim";
      note.textContent = !payload.running ? `ended; written ${ago(age)}`
        : late ? `not updated since ${ago(age).replace(" ago", "")}: the search may have been killed` : `running; updated ${ago(age)}`;
    };
    tell();
    setInterval(tell, 1000);
    if (!payload.running || window.top !== window) return;  // inside another page, such as MLflow's, it is a copy
    for (const name of ["pointerdown", "keydown", "wheel", "input"])
      addEventListener(name, () => { this.touched = Date.now(); }, { passive: true, capture: true });
    addEventListener("pagehide", () => this.keep(save()));
    setInterval(() => {
      const busy = Date.now() - this.touched < 4000 || String(getSelection() || "");
      if (!document.hidden && !busy) location.reload();
    }, 1000 * seconds);
  }

  keep(state) {
    try { sessionStorage.setItem(this.key, JSON.stringify(state)); } catch { /* the browser keeps nothing for files */ }
  }

  kept() {
    try { return JSON.parse(sessionStorage.getItem(this.key)) || {}; } catch { return {}; }
  }
}
