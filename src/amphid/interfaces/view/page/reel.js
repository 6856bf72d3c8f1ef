// A tape plays by itself, in the time of the person, and is scrubbed.

const reel = { at: 0, shown: 0, last: 0 };

function showTape(at) {
  const next = picture ? reel.at + 1 : 0;
  reel.at = Math.max(0, Math.min(tape.frames.length - 1, at));
  const seen = tape.frames[reel.at].time - 1.1 * SPAN * history.stretch; // what is older is not drawn
  let start = reel.at < next - 1 ? 0 : next;
  while (tape.frames[start].time < seen) start++;
  if (start !== next) {
    forget();
    picture = null;
  }
  for (let k = start; k <= reel.at; k++) take(tape.frames[k]);
  $("scrub").value = reel.at;
  $("scrub").setAttribute("aria-valuetext", `${(picture.time / 1000).toFixed(2)} s`);
}

function playTape(on) {
  setPlaying(on);
  if (!on) return redraw(); // the charts may be a picture behind
  if (reel.at === tape.frames.length - 1) showTape(0);
  [reel.shown, reel.last] = [tape.frames[reel.at].time, performance.now()];
  const tick = (now) => {
    if (!state.playing) return;
    reel.shown += (now - reel.last) * state.speed;
    reel.last = now;
    let at = reel.at;
    while (at < tape.frames.length - 1 && tape.frames[at + 1].time <= reel.shown) showTape(++at);
    state.playing = true;
    if (at === tape.frames.length - 1) playTape(false);
    else requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function openTape() {
  const bytes = unpack(tape.frames, Uint8Array).buffer;
  let at = 0;
  tape.frames = tape.sizes.map((size) => readFrame(bytes.slice(at, (at += size))));
  state.connection = "tape";
  showSpeed(1);
  begin(tape.network);
  for (const name of tape.pinned) pin(run.index.get(name));
  tape.log.forEach((event) => logged({ ...event, place: null }, false));
  $("scrub").max = tape.frames.length - 1;
  $("scrub").addEventListener("input", (event) => {
    playTape(false);
    showTape(Number(event.target.value));
  });
  showTape(0);
  playTape(true);
}
