// The page: what is known of the network, what is chosen, and what follows from a new picture.

const $ = (id) => document.getElementById(id);
const tape = JSON.parse($("tape").textContent);
const state = { frame: 0, field: null, picked: null, hovered: null, sort: "", pinned: [], touched: [], playing: true };
let run = null;
let scene = null;
let dish = null;
let history = null;
let theme = readTheme(false);
let feed = null;
let picture = null; // the newest
let waiting = false;
let groups = [];
let traces = new Map();
let panels = [];
let boxes = {};
let counters = { frames: 0, pictures: 0, gaps: 0, errors: 0, cost: 0, last: null };

/** For tests and the curious. */
window.amphid = {
  state,
  get run() { return run; },
  get frames() { return counters.frames; },
  get pictures() { return counters.pictures; },
  get gaps() { return counters.gaps; },
  get errors() { return counters.errors; },
  get cost() { return counters.cost; }, // ms that a drawing takes
  get settled() { return !waiting; }, // nothing more is to be drawn
  drop: () => feed.socket.close(4000),
  get time() { return picture ? picture.time : 0; },
  get actions() { return picture ? picture.actions : 0; },
  get playing() { return state.playing; },
  get connection() { return state.connection; },
  get picked() { return state.picked === null ? null : run.names[state.picked]; },
  get view() { return scene.view; },
  get said() { return state.said; },
  spot: (name) => Array.from(scene.screen.slice(3 * run.names.indexOf(name), 3 * run.names.indexOf(name) + 2)),
  value: (name) => valueOf(run.names.indexOf(name)),
  dead: (name) => Boolean(picture.marks[run.names.indexOf(name)] & MARK.dead),
  bodySpot: (place) => dish.view.to(middleOf(dish.pose, Math.round(place * (dish.worm.rods - 1)))),
};

/** Everything about a network that has just become known. */
function begin(told) {
  run = readNetwork(told);
  state.field = makeField();
  beginGlide(state.field);
  scene = makeScene($("cells"), run, state);
  scene.all = Uint32Array.from({ length: run.size }, (_, cell) => cell);
  if (run.worm) dish = makeDish($("dish"), run.worm);
  fillIn();
  arrange(Object.keys(sorts())[0]);
  $("sort").value = state.sort;
  listen();
  makePanels();
  choose(null);
  drawLegend($("legend"), state.field, theme);
  redraw();
}

async function openLive() {
  const token = new URLSearchParams(location.search).get("token") || "";
  const answer = await fetch(`/network?token=${encodeURIComponent(token)}`);
  if (!answer.ok) return stood("refused");
  const told = await answer.json();
  feed = openSocket(hear, stood);
  return begin(told);
}

if (tape?.host) {
  feed = openHost(hear, stood);
  begin(tape.network);
} else if (tape) openTape();
else openLive().catch(() => stood("stopped"));
