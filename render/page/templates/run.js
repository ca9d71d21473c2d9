// The page of a run. `renderPage` is called by page.js with the facts; while the run goes on, the
// page loads that script again.

const EVERY_MS = 2000;   // between two looks at a run that goes on
const LONG = 500;         // letters of a text that is scrolled
const COLUMNS = 1200;    // of a lane, however long the film is
const view = { facts: null, frame: 0, playing: 0, from: null };

function renderPage(facts) {
  const first = view.facts === null;
  view.facts = facts;
  document.title = facts.name;
  at("name").textContent = facts.name;
  at("state").textContent = stateLine(facts);
  document.querySelector("main").hidden = false;
  at("slider").max = facts.film.count - 1;
  drawLanes();
  showMoments();
  showFilm(first);
  at("again").textContent = facts.again;
  at("config").textContent = facts.config;
  rows(at("run"), facts.run);
  show(first ? asked() : view.frame);
  if (facts.state === "rendering") lookAgain("page.js", EVERY_MS);
}

function stateLine(facts) {
  const there = facts.there.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const { count } = facts.film;
  const pictures = `${count} frame${count === 1 ? "" : "s"} of ${facts.film.width} × ${facts.film.height}`;
  const length = `${pictures}, ${clock(count)} at ${number(fps(), 3)} frames a second`;
  if (facts.state === "rendering") {
    const silent = (Date.now() - Date.parse(facts.updated)) / 1000;
    const news = silent > 120 ? `; no news for ${Math.round(silent / 60)} minutes` : "";
    return `${there} of ${count} frames are there; rendering${news}. ${length}`;
  }
  return there < count ? `${there} of ${count} frames are there. ${length}` : length;
}

// Frames ------------------------------------------------------------------------------------------

const fps = () => view.facts.film.rate[0] / view.facts.film.rate[1];
const seconds = (frame) => frame * view.facts.film.rate[1] / view.facts.film.rate[0];
const clock = (frame) => `${seconds(frame).toFixed(2)} s`;
const number = (value, digits) => String(Number(value.toFixed(digits)));
const isThere = (frame) => view.facts.there.some(([first, last]) => first <= frame && frame <= last);
const of = (list, frame) => list.length === 1 ? list[0] : list[frame];
const file = (frame) => `frames/frame_${String(frame).padStart(6, "0")}.png`;

function asked() {
  const frame = Number(new URLSearchParams(location.hash.slice(1)).get("frame"));
  return Number.isFinite(frame) ? frame : 0;
}

function show(frame) {
  const { facts } = view, last = facts.film.count - 1;
  view.frame = Math.min(last, Math.max(0, Math.round(frame)));
  const picture = at("picture"), there = isThere(view.frame);
  picture.hidden = !there;
  at("absent").hidden = there;
  if (there && picture.dataset.frame !== String(view.frame)) {
    picture.dataset.frame = String(view.frame);
    picture.src = file(view.frame);
  }
  const words = of(facts.film.prompts.frames, view.frame);
  picture.alt = `Frame ${view.frame}: ${words.map(([text]) => facts.film.prompts.values[text]).join("; ")}`;
  at("slider").value = view.frame;
  at("slider").setAttribute("aria-valuetext", `frame ${view.frame}, ${clock(view.frame)}`);
  at("place").textContent = `${clock(view.frame)} · frame ${view.frame}`;
  document.querySelectorAll(".lane i").forEach((mark) => {
    mark.style.left = `${(view.frame + .5) / facts.film.count * 100}%`;
  });
  showValues();
}

function showValues() {
  const { film } = view.facts, body = [];
  for (const [text, weight] of of(film.prompts.frames, view.frame)) {
    body.push([percent(weight), film.prompts.values[text], colour(text)]);
  }
  for (const [text, weight] of of(film.negatives.frames, view.frame)) {
    if (film.negatives.values[text]) body.push(["not", `${film.negatives.values[text]}${weight < 1 ? ` (${percent(weight)})` : ""}`]);
  }
  const seeds = of(film.seeds.frames, view.frame);
  body.push(["seed", seeds.map(([seed, weight]) => film.seeds.values[seed] + (seeds.length > 1 ? ` (${percent(weight)})` : "")).join(", ")]);
  body.push(["guidance", number(of(film.guidance, view.frame), 3)]);
  for (const [name, weight] of of(film.loras.frames, view.frame)) body.push(["LoRA", `${film.loras.values[name]} ${number(weight, 3)}`]);
  if (film.keyframes.includes(view.frame)) body.push(["keyframe", "yes"]);
  if (film.bridges.includes(view.frame)) body.push(["bridge", "this frame bridges a jump"]);
  rows(at("values"), body);
}

const percent = (weight) => `${number(weight * 100, 1)} %`;

// A character that turns the direction of the letters around it is shown as one that can't.
const visible = (text) => String(text).replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f]/g, "\ufffd");

function rows(table, entries) {
  table.tBodies[0].replaceChildren(...entries.map(([name, value, tint]) => {
    const row = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
    head.scope = "row";
    head.textContent = name;
    if (tint) {
      const patch = document.createElement("b");
      patch.style.background = tint;
      head.prepend(patch);
    }
    const text = document.createElement("div");
    text.textContent = visible(value);
    if (text.textContent.length > LONG) {
      text.className = "much";
      text.tabIndex = 0;
    }
    cell.append(text);
    row.append(head, cell);
    return row;
  }));
}

// Lanes -------------------------------------------------------------------------------------------

const colour = (place) => `hsl(${(place * 137.5 + 28.8) % 360} 55% 52%)`;  // the contact sheet's hues
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function drawLanes() {
  const { film, measure, sound } = view.facts, lanes = [];
  lanes.push(["prompts", (canvas) => stacked(canvas, film.prompts.frames)]);
  if (film.seeds.values.length > 1) lanes.push(["seeds", (canvas) => stacked(canvas, film.seeds.frames)]);
  if (film.guidance.length > 1) lanes.push(["guidance", (canvas) => curve(canvas, film.guidance, film.count, style("--accent"))]);
  if (film.strength.length > 1) lanes.push(["strength", (canvas) => curve(canvas, film.strength, film.count, style("--accent"))]);
  if (film.loras.frames.length > 1) film.loras.values.forEach((name, place) => {
    const weights = film.loras.frames.map((frame) => (frame.find(([of]) => of === place) || [place, 0])[1]);
    lanes.push([name, (canvas) => curve(canvas, weights, film.count, colour(place))]);
  });
  if (sound) lanes.push(["sound", (canvas) => bars(canvas, sound)]);
  if (measure) lanes.push(["steps", (canvas) => steps(canvas, measure)]);
  at("lanes").replaceChildren(...lanes.flatMap(([name, draw]) => {
    const label = document.createElement("span"), lane = document.createElement("div");
    const canvas = document.createElement("canvas"), mark = document.createElement("i");
    label.textContent = name;
    lane.className = "lane";
    canvas.width = COLUMNS;
    canvas.height = 80;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${name} over the film; the table below has the values of the frame that is shown`);
    draw(canvas);
    lane.append(canvas, mark);
    lane.addEventListener("pointerdown", (event) => {
      lane.setPointerCapture(event.pointerId);
      seek(lane, event);
    });
    lane.addEventListener("pointermove", (event) => event.buttons && seek(lane, event));
    return [label, lane];
  }));
}

function seek(lane, event) {
  const box = lane.getBoundingClientRect();
  stop();
  show(Math.floor((event.clientX - box.left) / box.width * view.facts.film.count));
}

// The frame in the middle of a column; every column shows one, so that long films stay quick.
const frameOf = (column, count) => Math.min(count - 1, Math.floor((column + .5) / COLUMNS * count));

function stacked(canvas, frames) {
  const ink = canvas.getContext("2d"), { count } = view.facts.film, { height } = canvas;
  for (let column = 0; column < COLUMNS; column++) {
    let top = 0;
    const pairs = of(frames, frameOf(column, count)), total = pairs.reduce((sum, [, weight]) => sum + weight, 0) || 1;
    for (const [place, weight] of [...pairs].sort(([one], [other]) => one - other)) {
      ink.fillStyle = colour(place);
      ink.fillRect(column, top, 1, weight / total * height + 1);
      top += weight / total * height;
    }
  }
}

function curve(canvas, values, count, ink) {
  const draw = canvas.getContext("2d"), least = Math.min(...values), most = Math.max(...values);
  draw.strokeStyle = ink;
  draw.lineWidth = 2;
  draw.beginPath();
  for (let column = 0; column < COLUMNS; column++) {
    const share = (values[frameOf(column, count)] - least) / (most - least || 1);
    draw.lineTo(column, 4 + (1 - share) * (canvas.height - 8));
  }
  draw.stroke();
}

function bars(canvas, values) {
  const ink = canvas.getContext("2d");
  ink.fillStyle = style("--accent");
  for (let column = 0; column < COLUMNS; column++) {
    const high = values[Math.min(values.length - 1, Math.floor((column + .5) / COLUMNS * values.length))] * canvas.height;
    ink.fillRect(column, (canvas.height - high) / 2, 1, Math.max(1, high));
  }
}

function steps(canvas, measure) {
  const ink = canvas.getContext("2d"), list = measure.steps, { height } = canvas;
  // The step to a frame stands where the frame does; in a loop the last one leads to the first.
  const most = Math.max(...list, 1e-9), wide = COLUMNS / view.facts.film.count;
  const tints = new Map([[measure.cuts, "--cut"], [measure.snaps, "--snap"], [measure.flashes, "--flash"]]);
  const named = new Map([...tints].flatMap(([frames, tint]) => frames.map((frame) => [frame - 1, style(tint)])));
  const plain = style("--accent");
  if (list.length <= COLUMNS) {
    list.forEach((step, place) => bar(ink, (place + 1) % view.facts.film.count * wide, Math.max(1, wide - 1), step / most * height, height, named.get(place) ?? plain));
    return;
  }
  for (let column = 0; column < COLUMNS; column++) {  // the largest step of those in a column
    const first = Math.floor(column / COLUMNS * list.length), last = Math.floor((column + 1) / COLUMNS * list.length);
    let high = 0, tint = plain;
    for (let place = first; place < last; place++) {
      high = Math.max(high, list[place]);
      tint = named.get(place) ?? tint;
    }
    bar(ink, column, 1, high / most * height, height, tint);
  }
}

function bar(ink, left, wide, high, height, tint) {
  ink.fillStyle = tint;
  ink.fillRect(left, height - Math.max(1, high), wide, Math.max(1, high));
}

// The rest of the page ----------------------------------------------------------------------------

function showMoments() {
  const { measure } = view.facts;
  const alone = view.facts.film.count < 2 ? "A picture has no steps." : "The film is not measured yet.";
  at("pace").textContent = measure ? measure.line : alone;
  at("moments").replaceChildren(...(measure ? [...measure.named].sort((one, other) => one.time - other.time) : []).map((moment) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = `${moment.kind === "snap" ? "jump" : moment.kind} at ${moment.time.toFixed(2)} s (frame ${moment.frame})`;
    button.addEventListener("click", () => { stop(); show(moment.frame); at("slider").focus(); });
    item.append(button, `: ${visible(moment.prompts)}`);
    return item;
  }));
}

function showFilm(first) {
  const { videos, files } = view.facts, key = JSON.stringify(videos);
  if (first || key !== at("videos").dataset.key) {
    at("videos").dataset.key = key;
    at("videos").replaceChildren(...videos.slice(0, 1).map(player));
  }
  const sheet = at("sheet"), drawn = files.some(({ name }) => name === "sheet.png");
  sheet.hidden = !drawn;
  if (drawn && view.facts.state !== "rendering") sheet.firstChild.src = "sheet.png";
  at("files").replaceChildren(...[...videos, ...files].map(({ name, size }) => {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = encodeURIComponent(name);
    link.textContent = name;
    link.download = name;
    item.append(link, ` ${size}`);
    return item;
  }));
}

function player({ name }) {
  const film = document.createElement(/\.(gif|webp|png)$/.test(name) ? "img" : "video");
  film.src = encodeURIComponent(name);
  if (film.tagName === "IMG") {
    film.alt = "The film";
    return film;
  }
  if (isThere(0)) film.poster = file(0);
  film.controls = film.loop = film.playsInline = true;
  film.setAttribute("aria-label", "The film");
  film.addEventListener("timeupdate", () => {
    const frame = Math.floor(film.currentTime * fps() + 1e-6);
    if (!film.paused) { stop(); show(frame); }
  });
  return film;
}

function play() {
  if (view.playing) return stop();
  if (view.frame === view.facts.film.count - 1) show(0);
  view.from = { frame: view.frame, time: performance.now() };
  at("play").textContent = "⏸";
  at("play").setAttribute("aria-label", "Pause");
  view.playing = requestAnimationFrame(tick);
}

function stop() {
  cancelAnimationFrame(view.playing);
  view.playing = 0;
  at("play").textContent = "▶";
  at("play").setAttribute("aria-label", "Play the frames");
}

function tick(now) {
  const { count, loop } = view.facts.film;
  let frame = view.from.frame + Math.floor((now - view.from.time) / 1000 * fps());
  if (loop) frame %= count;
  if (frame !== view.frame) {
    show(frame);
    for (const next of [1, 2, 3]) new Image().src = file(Math.min(count - 1, view.frame + next));
  }
  if (frame >= count - 1 && !loop) return stop();
  view.playing = requestAnimationFrame(tick);
}

function keyframe(step) {
  const places = view.facts.film.keyframes.filter((place) => step > 0 ? place > view.frame : place < view.frame);
  if (places.length) show(step > 0 ? places[0] : places[places.length - 1]);
}

const KEYS = {
  " ": play,
  ArrowLeft: (event) => show(view.frame - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => show(view.frame + (event.shiftKey ? 10 : 1)),
  PageUp: () => keyframe(-1),
  PageDown: () => keyframe(1),
  Home: () => show(0),
  End: () => show(view.facts.film.count - 1),
};

document.addEventListener("keydown", (event) => {
  const elsewhere = event.target.closest("button, a, video, pre, input:not(#slider)");
  if (!view.facts || elsewhere || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  if (event.key !== " ") stop();
  KEYS[event.key](event);
});
at("slider").addEventListener("input", (event) => { stop(); show(Number(event.target.value)); });
at("play").addEventListener("click", play);
window.addEventListener("hashchange", () => view.facts && show(asked()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view.facts && (drawLanes(), show(view.frame)));
