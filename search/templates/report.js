// The report: its chart, and the parts that the reader has opened.

function begin(data) {
  const parts = () => [...document.querySelectorAll("details[id]")];
  const live = new Live(data, () => ({ open: parts().filter(each => each.open).map(each => each.id), y: scrollY }));
  const tip = trial => `#${trial.number} ${words(trial.status)} ${trial.shown}${trial.delta && ` (${trial.delta})`}: ${trial.text}`;
  const alone = window.top === window;  // inside another page, such as MLflow's, lineage.html is not beside this one
  const open = number => { if (alone) location.href = `lineage.html#t${number}`; };
  if (!alone) for (const link of document.querySelectorAll("a")) link.removeAttribute("href");
  new Chart(document.getElementById("chart"), data, { zoom: false, edges: false, select: open, tip }).draw();
  legend(document.getElementById("legend"), data, data.counts);
  const kept = live.kept();
  if (kept.open) for (const each of parts()) each.open = kept.open.includes(each.id);
  if (kept.y) scrollTo(0, kept.y);
}

unpacked().then(begin);
