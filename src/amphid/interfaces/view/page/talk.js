// What the server says, and what the page asks of it beyond touching cells.

/** Messages of the server. */
function hear(message, frame) {
  if (frame) {
    if (run) take(frame);
    return;
  }
  if (message.op === "hello") {
    state.asking = false;
    $("log").replaceChildren();
    message.log.forEach((event) => logged(event, false));
    $("seed").value = message.seed;
    showSpeed(message.speed);
    counters.last = null;
    watch();
  } else if (message.op === "surroundings") {
    around.dark = message.dark;
    relight();
  } else if (message.op === "event") logged(message, true);
  else if (message.op === "speed") showSpeed(message.value);
  else if (message.op === "reset") {
    $("log").replaceChildren();
    $("log-count").textContent = "";
    $("seed").value = message.seed;
    forget();
  } else if (message.op === "recorded") recorded(message);
  else if (message.op === "error") {
    state.asking = false;
    counters.errors++;
    say(message.message, true);
  }
}

function logged({ time, text, place }, fresh) {
  const row = document.createElement("li");
  const when = document.createElement("time");
  when.textContent = `${(time / 1000).toFixed(2)} s`;
  const what = document.createElement("span");
  what.textContent = text;
  row.append(when, what);
  $("log").append(row);
  while ($("log").children.length > 200) $("log").firstChild.remove();
  $("log").scrollTop = $("log").scrollHeight;
  if (!fresh) return;
  if (place !== null && run?.worm) state.touched.push({ place, left: 1 });
  say(text, false);
}

let quiet = null;
function say(text, bad) {
  state.said = text;
  $("said").textContent = text;
  if (!bad) return;
  banner(text, true);
  clearTimeout(quiet);
  quiet = setTimeout(hush, 6000);
}

/** A notice has stood long enough; one that tells how the connection stands stays. */
function hush() {
  if (["open", "tape"].includes(state.connection)) banner("", false);
}

function banner(text, bad) {
  $("banner").hidden = !text;
  $("banner").textContent = text;
  $("banner").classList.toggle("bad", bad);
}

const STANDS = {
  open: "",
  lost: "The connection is lost; trying again \u2026",
  stopped: "The server has stopped. What you see is the last picture; start it again with amphid view.",
  refused: "The server does not know this page: open the address that it printed.",
  busy: "The server takes no more pages or messages from here.",
  silent: "The notebook\u2019s kernel does not answer: it is busy, or it is gone. Where it is gone, run this cell again; what you see is the last picture.",
};

function stood(how) {
  state.connection = how;
  banner(STANDS[how], how !== "open");
  document.body.classList.toggle("away", how !== "open");
  if (how === "stopped") setPlaying(false);
}

function showSpeed(value) {
  state.speed = value;
  $("speed").value = Math.log10(value);
  $("speed-shown").textContent = `${written(value, { digits: 2 })}\u00d7`;
}

function copyScript() {
  feed.send("script", {}, ({ text }) => {
    $("code").hidden = false;
    $("code-text").textContent = text;
    state.script = text;
    const done = () => {
      $("script").textContent = "Copied";
      setTimeout(() => ($("script").textContent = "Copy as Python"), 1500);
    };
    const select = () => getSelection().selectAllChildren($("code-text"));
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, select);
    else select();
  });
}

/** Whether it is recorded, by whichever page began that; and whether no more can be kept. */
function showRecording({ flags }) {
  const on = Boolean(flags & FLAG.recording);
  const text = !on ? "Record" : flags & FLAG.full ? "Full: stop and save" : "Stop and save";
  if ($("record-text").textContent === text) return;
  $("record").classList.toggle("recording", on);
  $("record-text").textContent = text;
}

/** Asks for what the button says: another page, or a second press, that asks for the same changes nothing. */
function record() {
  feed.send("record", { on: !(picture && picture.flags & FLAG.recording) });
}

/** A recording has ended, by whichever page. */
function recorded({ folder }) {
  const text = folder ? `Recorded into ${folder}; session.py in it repeats it.` : "Nothing was recorded: time stood still.";
  say(text, false);
  banner(text, false);
  clearTimeout(quiet);
  quiet = setTimeout(hush, 8000);
}
