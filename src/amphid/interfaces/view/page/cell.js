// The chosen cell: what it is, what it is connected to, what can be done to it, its pinned trace.

/** The chosen cell. */
function choose(cell) {
  state.picked = cell;
  $("find").value = cell === null ? "" : run.names[cell];
  const none = cell === null;
  for (const id of ["stimulate", "lesion", "pin"]) $(id).disabled = none;
  $("cell-title").textContent = none ? "No cell chosen" : run.names[cell];
  $("cell-about").textContent = none ? "Click one in the picture, or search for it." : describe(run, cell);
  $("links").replaceChildren();
  showReading();
  redraw();
  if (none) return;
  if (run.embedded || run.links.has(cell)) showLinks(cell);
  else if (feed) feed.send("links", { cell: run.names[cell] }, ({ links }) => {
    run.links.set(cell, links);
    if (state.picked === cell) showLinks(cell);
  });
}

function linksOf(cell) {
  return run.links.get(cell) || connectionsOf(run, cell);
}

function showReading() {
  const cell = state.picked;
  const line = $("cell-reading");
  line.replaceChildren();
  if (cell === null || !picture) return;
  const dead = picture.marks[cell] & MARK.dead;
  const { unit, name } = run.shows;
  const change = document.createElement("small");
  const driven = picture.marks[cell] & MARK.driven ? ", current flows into it" : "";
  const rate = state.field.rate ? `, fires at ${written(state.field.rate[cell], { digits: 2 })} Hz` : "";
  change.textContent = dead ? "dead" : `${name}, ${withUnit(written(noticed(picture.change[cell]), { sign: true, digits: 2 }), unit)} from rest${rate}${driven}`;
  line.append(withUnit(written(valueOf(cell)), unit), change);
  $("lesion").textContent = dead ? "Restore" : "Kill";
  $("pin").textContent = state.pinned.includes(cell) ? "Unpin trace" : "Pin trace";
}

/** A change from rest, nothing where it is less than anyone measures. */
function noticed(change) {
  return Math.abs(change) < 1e-4 ? 0 : change;
}

function showLinks(cell) {
  const all = linksOf(cell);
  const columns = [["Input from", (l) => !l.electrical && !l.out], ["Output to", (l) => !l.electrical && l.out]];
  const parts = columns.map(([title, wanted]) => linkList(title, all.filter(wanted)));
  parts.push(linkList("Gap junctions with", all.filter((l) => l.electrical)));
  const key = document.createElement("p");
  key.className = "key";
  key.textContent = "+ excites, \u2212 inhibits, = gap junction; numbers are sizes of connections.";
  $("links").replaceChildren(...parts.filter(Boolean), key);
}

function linkList(title, links) {
  if (!links.length) return null;
  const box = document.createElement("div");
  const heading = document.createElement("h3");
  heading.textContent = `${title} (${links.length >= 300 ? "300 or more" : links.length})`;
  const list = document.createElement("ul");
  for (const link of links.slice(0, 6)) list.append(linkRow(link));
  box.append(heading, list);
  return box;
}

function linkRow({ other, sign, electrical, synapses }) {
  const row = document.createElement("li");
  const left = document.createElement("span");
  const mark = document.createElement("i");
  [mark.textContent, mark.className] = electrical ? ["=", "gap"] : sign < 0 ? ["\u2212", "inhibit"] : sign > 0 ? ["+", "excite"] : ["?", "gap"];
  left.append(mark, " ", cellButton(other));
  const size = document.createElement("span");
  size.textContent = written(synapses);
  row.append(left, size);
  return row;
}

function cellButton(cell) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "cell";
  button.textContent = run.names[cell];
  button.addEventListener("click", () => choose(cell));
  return button;
}

/** What a click on a cell does. */
function touchCell(cell, event) {
  choose(cell);
  if (cell === null || !feed || event?.altKey) return;
  if (event?.shiftKey) kill();
  else stimulate();
}

function stimulate() {
  if (state.picked === null || !feed) return;
  const words = { cell: run.names[state.picked], amplitude: Number($("amplitude").value), duration: Number($("duration").value) };
  if (!state.pinned.includes(state.picked) && state.pinned.length < 1) pin(state.picked);
  feed.send("stimulate", words);
}

function kill() {
  if (state.picked === null || !feed) return;
  const dead = picture && picture.marks[state.picked] & MARK.dead;
  feed.send(dead ? "restore" : "lesion", { cell: run.names[state.picked] });
}

function pin(cell) {
  if (cell === null) return;
  const there = state.pinned.includes(cell);
  state.pinned = there ? state.pinned.filter((one) => one !== cell) : [...state.pinned, cell].slice(-6);
  for (const one of state.pinned) if (!traces.has(one)) traces.set(one, makeTrace(one));
  for (const one of [...traces.keys()]) if (!state.pinned.includes(one)) traces.delete(one);
  watch();
  makePanels();
  showReading();
}

function watch() {
  if (feed) feed.send("watch", { cells: state.pinned.map((cell) => run.names[cell]) });
}

function makePanels() {
  panels = state.pinned.map((cell) => {
    const panel = document.createElement("div");
    panel.className = "panel";
    const heading = document.createElement("h3");
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "\u00d7";
    close.setAttribute("aria-label", `Unpin ${run.names[cell]}`);
    close.addEventListener("click", () => pin(cell));
    heading.append(cellButton(cell), close);
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${run.shows.name} of ${run.names[cell]} over time`);
    panel.append(heading, canvas);
    return { cell, canvas, panel };
  });
  $("traces").replaceChildren(...panels.map(({ panel }) => panel));
  $("traces-note").textContent = panels.length ? "" : "Choose a cell and pin it: p";
  drawPanels();
}

function drawPanels() {
  const title = withUnit(run.shows.name, run.shows.unit && `(${run.shows.unit})`);
  for (const { cell, canvas } of panels) {
    const color = run.stimulatedSet.has(cell) ? theme.accent : theme.link;
    drawLiveTrace(canvas, traces.get(cell), SPAN * history.stretch, picture ? picture.time : 0, title, color, theme);
  }
}
