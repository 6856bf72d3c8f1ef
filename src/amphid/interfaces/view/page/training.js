// The page of a training: curves of its log, and looks at its network when they are asked for.

const $ = (id) => document.getElementById(id);
const COUNTS = ["generation", "epoch", "update"];
const METERS = ["parents", "ancestor", "distance", "curse", "luck"];
const UNITS = { seconds: "s", parents: "individuals", ancestor: "generations", learning_rate: "per update", rate: "Hz" };
const token = new URLSearchParams(location.search).get("token") || "";
const state = { rows: [], runs: [], size: null, ended: "", looks: 0, polls: 0, connection: "open" };
let theme = readTheme(false);
window.amphid = { state };

async function ask(path, words = {}) {
  const told = new URLSearchParams({ token, ...words });
  return fetch(`${path}?${told}`);
}

/** Looks whether the log has grown; asks again after a while. */
async function poll() {
  try {
    const answer = await ask("/rows", state.size === null ? {} : { size: state.size, ended: state.ended });
    if (answer.status === 200) take(await answer.json());
    stand("open");
  } catch {
    stand("lost");
  }
  state.polls++;
  setTimeout(poll, document.hidden ? 5000 : 1500);
}

function stand(how) {
  state.connection = how;
  $("banner").hidden = how === "open";
  $("banner").textContent = how === "open" ? "" : "The server does not answer: what you see is what it told last. Trying again \u2026";
  $("banner").classList.toggle("bad", how !== "open");
}

/** The log counts epochs from 0, as a program does; the page from 1, as the shell and the report. */
function counted(rows) {
  return rows.map((row) => (typeof row.epoch === "number" ? { ...row, epoch: row.epoch + 1 } : row));
}

function take({ rows, runs, size, ended, looks }) {
  const all = runs.length ? runs : [{ name: "", rows }];
  Object.assign(state, { rows: counted(rows), size, ended, runs: all.map(({ name, rows: own }) => ({ name, rows: counted(own) })) });
  $("looks").hidden = !looks;
  draw();
}

function column(name, rows = state.rows) {
  return rows.map((row) => (typeof row[name] === "number" ? row[name] : NaN));
}

/** Names of the columns that hold numbers, in the order of the log. */
function numbers() {
  const found = new Set();
  for (const row of state.rows) for (const name of Object.keys(row)) if (typeof row[name] === "number") found.add(name);
  return [...found];
}

/** A column of each run over epochs, generations, or its lines. */
function curvesOf(name, count) {
  return state.runs.map(({ rows }) => ({ x: count ? column(count, rows) : rows.map((_, k) => k), values: column(name, rows) }));
}

function draw() {
  if (!state.rows.length) {
    $("at").textContent = "nothing logged yet";
    return;
  }
  const names = numbers();
  if (!names.length) {
    $("at").textContent = "the log holds no numbers";
    return;
  }
  const count = COUNTS.find((name) => names.includes(name)) || null;
  const main = ["answer", "loss", "best"].find((name) => names.includes(name)) || names[0];
  const x = count ? column(count) : state.rows.map((_, k) => k);
  const several = state.runs.length > 1 ? `${state.runs.length} runs; the first: ` : "";
  $("at").textContent = `${several}${count || "line"} ${written(x[x.length - 1], { digits: 6 })}, ${main} ${written(column(main).pop(), { digits: 4 })}${state.ended && `; ended: ${state.ended}`}`;
  drawLoss(names, main, count);
  const rest = names.filter((name) => !COUNTS.includes(name) && ![main, "best", "mean", "validation"].includes(name));
  const meters = rest.filter((name) => METERS.includes(name));
  $("meters-card").hidden = !meters.length;
  panels($("meters"), meters, count);
  panels($("others"), rest.filter((name) => !METERS.includes(name)), count);
  $("others-card").hidden = rest.length === meters.length;
  const lines = state.runs.reduce((sum, { rows }) => sum + rows.length, 0);
  $("foot").textContent = `${written(lines, { digits: 6 })} lines shown, of ${written(state.size, { digits: 6 })} bytes.`;
  fillTable(names);
}

function drawLoss(names, main, count) {
  const curves = curvesOf(main, count);
  const spread = spreadOf(names, main, curves, count);
  const validation = names.includes("validation") && main !== "validation" ? curvesOf("validation", count) : [];
  const lines = [
    ...curves.map((curve) => ({ ...curve, wide: spread.middle ? 1 : 1.8, faint: spread.middle ? 0.45 : 1 })),
    ...(spread.middle ? [{ x: spread.x, values: spread.middle, wide: 2.2 }] : []),
    ...validation.map((curve) => ({ ...curve, dashed: true, color: theme.accent, wide: curves.length > 1 ? 1 : 1.8 })),
  ];
  const values = curves[0].values;
  $("loss-title").textContent = main === "answer" ? "Loss of what the population would settle on" : main;
  $("loss-note").textContent = [spread.words, validation.length ? "dashed: validation" : ""].filter(Boolean).join("; ");
  chart($("loss"), lines, { band: spread.low ? spread : null, unit: UNITS[main] || main, count: count || "line", logarithmic: $("logarithmic").checked });
  $("loss").setAttribute("aria-label", `${main} over ${count || "line"}s, now ${written(values[values.length - 1])}`);
}

/** Of several runs, of a population from its best to its mean, or of one curve about its median. */
function spreadOf(names, main, curves, count) {
  if (curves.length > 1) return runsSpread(curves);
  const [{ x, values }] = curves;
  if (names.includes("best") && names.includes("mean")) {
    return { x, low: column("best"), high: column("mean"), words: "the band reaches from the best to the mean of the population" };
  }
  if (values.length < 15) return { x, words: "" };
  return { x, ...runningSpread(values) };
}

function panels(box, names, count) {
  const there = [...box.children].map((panel) => panel.dataset.name);
  if (there.join() !== names.join()) box.replaceChildren(...names.map(panelOf));
  for (const panel of box.children) {
    const { name } = panel.dataset;
    const curves = curvesOf(name, count);
    const lines = curves.map((curve) => ({ ...curve, wide: curves.length > 1 ? 1 : 1.8, faint: curves.length > 1 ? 0.6 : 1 }));
    chart(panel.querySelector("canvas"), lines, { unit: UNITS[name] || "", count: count || "line" });
  }
}

function panelOf(name) {
  const panel = document.createElement("div");
  panel.dataset.name = name;
  const heading = document.createElement("h3");
  heading.textContent = name.replaceAll("_", " ");
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name} over time`);
  panel.append(heading, canvas);
  return panel;
}

async function look(name, button) {
  button.disabled = true;
  const before = button.textContent;
  button.textContent = "Computing \u2026";
  try {
    const told = await (await ask(`/look/${name}`)).json();
    state.looks++;
    if (told.error) showText(told.error);
    else if (told.text) showText(told.text);
    else showRasters(told);
  } catch {
    stand("lost");
  }
  button.textContent = before;
  button.disabled = false;
}

function showText(text) {
  $("text-box").hidden = false;
  $("text").textContent = text;
}

/** What cells gave out in one example: rows are cells, to the right time. */
function showRasters(told) {
  state.rasters = told;
  const boxes = ["before", "now"].map((when) => {
    const box = document.createElement("div");
    const heading = document.createElement("h3");
    heading.textContent = when === "before" ? "Before the training" : "Now";
    box.append(heading, ...told[when].map((layer) => rasterOf(layer)));
    return box;
  });
  $("raster-box").replaceChildren(...boxes);
}

function rasterOf({ name, cells, dt, value }) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const [rows, columns] = [value.length, value[0]?.length || 0];
  [canvas.width, canvas.height] = [columns, rows];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `What the cells of layer ${name} give out`);
  const most = Math.max(...value.flat().map(Math.abs)) || 1;
  const ctx = canvas.getContext("2d");
  value.forEach((row, k) => row.forEach((given, t) => {
    ctx.fillStyle = theme.css[level(given / most)];
    ctx.fillRect(t, k, 1, 1);
  }));
  const caption = document.createElement("figcaption");
  caption.className = "soft";
  const mean = value.flat().reduce((sum, given) => sum + given, 0) / (rows * columns || 1);
  caption.textContent = `Layer ${name}: ${Math.min(rows, cells)} of ${cells} cells, ${written(columns * dt)} ms, mean output ${written(mean)}`;
  figure.append(canvas, caption);
  return figure;
}

function fillTable(names) {
  if (!$("table-box").open) return;
  const row = (cells, kind) => {
    const line = document.createElement("tr");
    line.append(...cells.map((text) => Object.assign(document.createElement(kind), { textContent: text })));
    return line;
  };
  $("head").replaceChildren(row(names, "th"));
  $("table").replaceChildren(...state.rows.slice(-200).reverse().map((told) => row(names.map((name) => (typeof told[name] === "number" ? written(told[name], { digits: 5 }) : "")), "td")));
}

for (const button of document.querySelectorAll("[data-look]")) button.addEventListener("click", () => look(button.dataset.look, button));
$("logarithmic").addEventListener("change", draw);
$("table-box").addEventListener("toggle", draw);
new ResizeObserver(draw).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  theme = readTheme(false);
  draw();
  if (state.rasters) showRasters(state.rasters);
});
poll();
