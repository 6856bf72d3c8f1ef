// Everything that can be clicked, typed and pressed; the table of the same data.

/** The table of the same data, made when it is opened and brought up to date twice a second. */
function fillTable() {
  if (!$("table-box").open || !picture) return;
  const most = 1000;
  const body = $("table");
  if (!body.children.length) {
    for (let cell = 0; cell < Math.min(run.size, most); cell++) {
      const row = document.createElement("tr");
      const name = document.createElement("th");
      name.scope = "row";
      name.append(cellButton(cell));
      const kind = document.createElement("td");
      kind.textContent = run.cells.kind[cell];
      const group = document.createElement("td");
      group.textContent = run.cells.cell_class[cell];
      row.append(name, kind, group, ...[0, 1, 2].map(() => document.createElement("td")));
      body.append(row);
    }
    if (run.size > most) $("table-note").textContent = `The first ${most.toLocaleString("en-US")} of ${run.size.toLocaleString("en-US")} cells; others by search.`;
  }
  const { unit } = run.shows;
  [...body.children].forEach((row, cell) => {
    const marks = picture.marks[cell];
    const words = [marks & MARK.dead && "dead", marks & MARK.driven && "stimulated"].filter(Boolean).join(", ");
    const told = [withUnit(written(valueOf(cell)), unit), withUnit(written(picture.change[cell], { sign: true, digits: 2 }), unit), words];
    told.forEach((text, k) => {
      const box = row.children[3 + k];
      if (box.textContent !== text) box.textContent = text;
    });
  });
}

function fillIn() {
  document.body.classList.add(feed ? "live" : "tape");
  document.body.classList.toggle("bodiless", !run.worm);
  document.body.classList.toggle("host", Boolean(tape?.host));
  for (const name of run.names.slice(0, 20000)) option($("names"), name);
  for (const name of Object.keys(sorts())) option($("sort"), name);
  $("level-title").textContent = withUnit(run.shows.name, run.shows.unit && `(${run.shows.unit})`);
  $("cells-note").textContent = run.place.note;
  $("cells").setAttribute("aria-label", `${run.title}: ${run.size} cells, colored by ${state.field.title}`);
  $("raster").setAttribute("aria-label", `${state.field.title} of all cells over the last seconds`);
  $("raster-title").textContent = run.shows.spikes ? "Every cell: firing rate" : `Every cell: change of ${run.shows.name}`;
  const { chemical, electrical } = run.total;
  const count = (number) => number.toLocaleString("en-US");
  $("foot").textContent = `${count(run.size)} cells, ${count(chemical)} chemical connections, ${count(electrical)} gap junctions; steps of ${run.dt} ms, ${run.note}.`;
  if (!run.worm) return;
  $("dish-card").hidden = false;
  $("crawl-box").hidden = !run.worm.crawls;
  $("dish").setAttribute("aria-label", "The body of the worm in a round dish, seen from above");
  for (const text of run.worm.limits) {
    const row = document.createElement("li");
    row.textContent = text;
    $("limits").append(row);
  }
}

function option(select, text) {
  const entry = document.createElement("option");
  entry.textContent = text;
  entry.value = text;
  select.append(entry);
}

function showTip(tip, text, x, y) {
  if (tip.hidden !== !text) tip.hidden = !text;
  if (!text || (tip.textContent === text && tip.dataset.at === `${x} ${y}`)) return;
  tip.dataset.at = `${x} ${y}`;
  tip.textContent = text;
  const room = tip.parentElement.clientWidth;
  tip.style.left = `${Math.max(4, Math.min(x + 14, room - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y > tip.offsetHeight + 16 ? y - tip.offsetHeight - 10 : y + 18}px`;
}

function hover(cell, x, y) {
  state.tip = { x, y };
  const other = cell !== state.hovered;
  state.hovered = cell;
  showHovered();
  if (other) redrawCells();
}

/** What the cell under the mouse is, and does now. */
function showHovered() {
  const cell = state.hovered;
  const text = cell === null ? "" : `${run.names[cell]}${describe(run, cell) ? `\n${describe(run, cell)}` : ""}\n${reading(run, state.field, cell, 0)}`;
  showTip($("cells-tip"), text, state.tip.x, state.tip.y);
}

/** The cell under the mouse in the moving picture. */
function rowAt(event) {
  const box = boxes.raster;
  if (!box || event.offsetY < box.top || event.offsetY >= box.bottom || event.offsetX < box.left) return null;
  const share = (event.offsetY - box.top) / (box.bottom - box.top);
  return history.cells[Math.min(run.size - 1, Math.floor(share * run.size))];
}

/** Chooses the cell of a name, in any case, or the only one that begins so; else tells of near ones. */
function find(text) {
  const low = text.toLowerCase();
  const exact = run.index.get(text) ?? run.names.findIndex((name) => name.toLowerCase() === low);
  if (!text || exact >= 0) return choose(text ? exact : null);
  const near = run.names.flatMap((name, cell) => (name.toLowerCase().startsWith(low) ? [cell] : []));
  if (near.length === 1) return choose(near[0]);
  const some = near.slice(0, 4).map((cell) => run.names[cell]).join(", ");
  return say(near.length ? `No cell is called ${text}. There are ${some}${near.length > 4 ? ", and more" : ""}.` : `No cell is called ${text}.`, true);
}

function listen() {
  listenToScene(scene, redrawCells, touchCell, hover);
  $("play").addEventListener("click", togglePlay);
  $("speed").addEventListener("input", (event) => speedTo(10 ** Number(event.target.value)));
  $("find").addEventListener("change", (event) => find(event.target.value.trim()));
  $("pin").addEventListener("click", () => pin(state.picked));
  $("sort").addEventListener("change", (event) => {
    arrange(event.target.value);
    redraw();
  });
  for (const [id, change] of [["zoom-in", "+"], ["zoom-out", "-"], ["zoom-reset", "0"]]) {
    $(id).addEventListener("click", () => {
      keyOnScene(scene, change);
      redrawCells();
    });
  }
  $("raster").addEventListener("pointermove", (event) => {
    const cell = rowAt(event);
    showTip($("raster-tip"), cell === null ? "" : run.names[cell], event.offsetX, event.offsetY);
  });
  $("raster").addEventListener("pointerleave", () => showTip($("raster-tip"), "", 0, 0));
  $("raster").addEventListener("click", (event) => rowAt(event) !== null && choose(rowAt(event)));
  $("table-box").addEventListener("toggle", fillTable);
  setInterval(fillTable, 500);
  document.addEventListener("keydown", onKey);
  listenToSurroundings();
  $("image").addEventListener("click", saveImage);
  if (dish) $("follow").addEventListener("change", (event) => {
    dish.follow = event.target.checked;
    redraw();
  });
  if (feed) listenLive();
}

/** Cells that spike take more than graded ones: a click should make one fire. Those of a table take no amount. */
function fitCurrent() {
  $("amplitude").parentElement.hidden = !run.shows.unit;
  if (!run.shows.spikes) return;
  Object.assign($("amplitude"), { min: -1000, max: 1000, step: 10, value: 300 });
  $("amplitude-shown").textContent = "300 pA";
}

function listenLive() {
  fitCurrent();
  $("step").addEventListener("click", () => feed.send("step"));
  $("reset").addEventListener("click", () => feed.send("reset", { seed: seedTyped() }));
  $("seed").addEventListener("change", () => feed.send("reset", { seed: seedTyped() }));
  $("record").addEventListener("click", record);
  $("script").addEventListener("click", copyScript);
  $("export").addEventListener("click", savePage);
  $("stimulate").addEventListener("click", stimulate);
  $("lesion").addEventListener("click", kill);
  $("amplitude").addEventListener("input", (event) => ($("amplitude-shown").textContent = `${written(Number(event.target.value))} pA`));
  if (!dish) return;
  $("crawl").addEventListener("change", (event) => {
    state.asking = true; // pictures that are on their way know nothing of it
    feed.send("crawl", { on: event.target.checked }, () => (state.asking = false));
  });
  $("dish").addEventListener("click", (event) => {
    const place = placeAlong(dish, event.offsetX, event.offsetY);
    if (place !== null) return feed.send("poke", { place });
    const [x, y] = dish.view.from(event.offsetX, event.offsetY);
    return feed.send("feed", { x, y });
  });
  $("dish").addEventListener("keydown", (event) => {
    const places = { 1: 0.0, 2: 0.3, 3: 0.8 };
    if (event.key in places) feed.send("poke", { place: places[event.key] });
    else if (event.key === "f") {
      const [x, y] = middleOf(dish.pose, 0);
      feed.send("feed", { x, y });
    }
  });
}

function seedTyped() {
  return Math.max(0, Math.floor(Number($("seed").value) || 0));
}

function togglePlay() {
  if (feed) feed.send(state.playing ? "pause" : "play");
  else playTape(!state.playing);
}

function speedTo(value) {
  const round = Number(Math.min(10, Math.max(0.1, value)).toPrecision(2));
  if (feed) feed.send("speed", { value: round });
  showSpeed(round);
}

function onKey(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && /^(BUTTON|SUMMARY)$/.test(event.target.tagName)) return;
  const live = { ".": () => feed.send("step"), s: stimulate, k: kill, r: () => feed.send("reset", { seed: seedTyped() }) };
  const always = {
    " ": togglePlay,
    p: () => pin(state.picked),
    "/": () => $("find").focus(),
    "]": () => choose(((state.picked ?? -1) + 1) % run.size),
    "[": () => choose(((state.picked ?? run.size) + run.size - 1) % run.size),
  };
  const act = always[event.key] || (feed && live[event.key]);
  if (!act) return;
  event.preventDefault();
  act();
}

/** Size of the window, light and dark. */
function listenToSurroundings() {
  new ResizeObserver(redraw).observe(document.body);
  document.addEventListener("contextrestored", () => { // what was drawn was lost
    scene.wiring = scene.dots = null;
    redraw();
  }, true);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", relight);
}

/** Light and dark anew. */
function relight() {
  theme = readTheme(false);
  recolor();
}
