// The page of a training: curves of its log, and looks at its network when they are asked for.

const $ = (id) => document.getElementById(id);
const COUNTS = ["generation", "epoch", "update"];
const METERS = ["parents", "ancestor", "distance", "curse", "luck"];
const token = new URLSearchParams(location.search).get("token") || "";
const state = { rows: [], size: null, looks: 0, polls: 0, connection: "open" };
let theme = readTheme(false);
window.amphid = { state };

async function ask(path, words = {}) {
  const told = new URLSearchParams({ token, ...words });
  return fetch(`${path}?${told}`);
}

/** Looks whether the log has grown; asks again after a while. */
async function poll() {
  try {
    const answer = await ask("/rows", state.size === null ? {} : { size: state.size });
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

function take({ rows, size, looks }) {
  Object.assign(state, { rows, size });
  $("looks").hidden = !looks;
  draw();
}

function column(name) {
  return state.rows.map((row) => (typeof row[name] === "number" ? row[name] : NaN));
}

/** Names of the columns that hold numbers, in the order of the log. */
function numbers() {
  const found = new Set();
  for (const row of state.rows) for (const name of Object.keys(row)) if (typeof row[name] === "number") found.add(name);
  return [...found];
}

function draw() {
  if (!state.rows.length) {
    $("at").textContent = "nothing logged yet";
    return;
  }
  const names = numbers();
  const count = COUNTS.find((name) => names.includes(name)) || null;
  const x = count ? column(count) : state.rows.map((_, k) => k);
  const main = ["answer", "loss", "best"].find((name) => names.includes(name)) || names[0];
  $("at").textContent = `${count || "line"} ${written(x[x.length - 1], { digits: 6 })}, ${main} ${written(column(main).pop(), { digits: 4 })}`;
  drawLoss(names, x, main, count || "line");
  const rest = names.filter((name) => !COUNTS.includes(name) && ![main, "best", "mean"].includes(name));
  const meters = rest.filter((name) => METERS.includes(name));
  $("meters-card").hidden = !meters.length;
  panels($("meters"), meters, x, count);
  panels($("others"), rest.filter((name) => !METERS.includes(name)), x, count);
  $("others-card").hidden = rest.length === meters.length;
  $("foot").textContent = `${state.rows.length} lines shown, of ${written(state.size, { digits: 6 })} bytes.`;
  fillTable(names);
}

/** Best to mean of a population, or the spread of the lines around. */
function spread(names, values) {
  if (names.includes("best") && names.includes("mean")) return [column("best"), column("mean"), "the band reaches from the best to the mean of the population"];
  const wide = Math.max(2, Math.round(values.length / 40));
  const around = values.map((_, k) => values.slice(Math.max(0, k - wide), k + wide + 1).filter(Number.isFinite));
  const low = around.map((near) => Math.min(...near));
  const high = around.map((near) => Math.max(...near));
  return [low, high, `the band holds the ${2 * wide + 1} lines around`];
}

function drawLoss(names, x, main, count) {
  const values = column(main);
  const [low, high, words] = spread(names, values);
  $("loss-title").textContent = main === "answer" ? "Loss of what the population would settle on" : main;
  $("loss-note").textContent = words;
  chart($("loss"), x, values, { low, high, name: main, count, logarithmic: $("logarithmic").checked });
  $("loss").setAttribute("aria-label", `${main} over ${count}s, now ${written(values[values.length - 1])}`);
}

function panels(box, names, x, count) {
  const there = [...box.children].map((panel) => panel.dataset.name);
  if (there.join() !== names.join()) {
    box.replaceChildren(...names.map((name) => {
      const panel = document.createElement("div");
      panel.dataset.name = name;
      const heading = document.createElement("h3");
      heading.textContent = name.replaceAll("_", " ");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${name} over time`);
      panel.append(heading, canvas);
      return panel;
    }));
  }
  for (const panel of box.children) chart(panel.querySelector("canvas"), x, column(panel.dataset.name), { name: "", count: count || "line" });
}

function chart(canvas, x, values, { low = null, high = null, name, count, logarithmic = false }) {
  const { ctx, width, height } = prepare(canvas);
  const scale = (value) => (logarithmic ? Math.log10(Math.max(value, 1e-12)) : value);
  const all = [...values, ...(low || []), ...(high || [])].filter(Number.isFinite).map(scale);
  const [from, to] = rangeOf([[null, all]]);
  const box = { left: 66, top: 8, right: width - 12, bottom: height - 36 };
  const first = x[0];
  const last = Math.max(x[x.length - 1], first + 1e-9);
  const px = (at) => box.left + ((at - first) / (last - first)) * (box.right - box.left);
  const y = drawValueAxis(ctx, box, from, to, logarithmic ? `log10 ${name}` : name, theme);
  axis(ctx, box, first, last, px, count);
  if (low) {
    ctx.fillStyle = theme.link;
    ctx.globalAlpha = 0.18;
    ctx.beginPath();
    x.forEach((at, k) => Number.isFinite(high[k]) && ctx.lineTo(px(at), y(scale(high[k]))));
    for (let k = x.length - 1; k >= 0; k--) if (Number.isFinite(low[k])) ctx.lineTo(px(x[k]), y(scale(low[k])));
    ctx.fill();
    ctx.globalAlpha = 1;
  }
  ctx.strokeStyle = theme.link;
  ctx.lineWidth = 1.8;
  ctx.lineJoin = "round";
  ctx.beginPath();
  let drawing = false;
  x.forEach((at, k) => {
    const good = Number.isFinite(values[k]);
    if (good && drawing) ctx.lineTo(px(at), y(scale(values[k])));
    else if (good) ctx.moveTo(px(at), y(scale(values[k])));
    drawing = good;
  });
  ctx.stroke();
}

function axis(ctx, box, first, last, px, count) {
  ctx.fillStyle = theme.soft;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.fillRect(box.left, box.bottom, box.right - box.left, 1);
  for (const tick of ticks(first, last, Math.max(2, (box.right - box.left) / 110))) {
    ctx.fillRect(px(tick) - 0.5, box.bottom, 1, 4);
    ctx.fillText(written(tick, { digits: 6 }), Math.min(px(tick), box.right - 6), box.bottom + 6);
  }
  ctx.fillText(count, (box.left + box.right) / 2, box.bottom + 21);
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
  canvas.setAttribute("aria-label", `What the cells of ${name} give out`);
  const most = Math.max(...value.flat().map(Math.abs)) || 1;
  const ctx = canvas.getContext("2d");
  value.forEach((row, k) => row.forEach((given, t) => {
    ctx.fillStyle = theme.css[level(given / most)];
    ctx.fillRect(t, k, 1, 1);
  }));
  const caption = document.createElement("figcaption");
  caption.className = "soft";
  const mean = value.flat().reduce((sum, given) => sum + given, 0) / (rows * columns || 1);
  caption.textContent = `${name}: ${Math.min(rows, cells)} of ${cells} cells, ${written(columns * dt)} ms, mean output ${written(mean)}`;
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
