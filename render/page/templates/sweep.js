// The gallery of a sweep. `renderSweep` is called by sweep.js with the films. Every film has a strip
// of thumbnails, evenly spaced in time; one slider moves them all.

const EVERY_MS = 3000;
const NONE = "";
const view = { facts: null, share: 0, tab: null, starred: new Set(), chosen: null };

function renderSweep(facts) {
  const first = view.facts === null;
  view.facts = facts;
  document.title = `${facts.name}: ${facts.films.length} films`;
  at("name").textContent = facts.name;
  const done = facts.films.filter((film) => film.strip).length;
  at("state").textContent = facts.state === "over"
    ? `${facts.films.length} films`
    : `${done} of ${facts.films.length} films are there; rendering`;
  document.querySelector("main").hidden = false;
  if (first) {
    load();
    choices();
  }
  draw();
  if (facts.state !== "over") lookAgain(facts.data, EVERY_MS);
}

// Axes --------------------------------------------------------------------------------------------

const axes = () => view.facts.axes;
const value = (film, axis) => film.values[axis] ?? "—";
const unique = (list) => [...new Set(list)];

function choices() {
  for (const [id, place] of [["across", 0], ["down", 1], ["tabs", 2]]) {
    const options = [[NONE, "nothing"], ...axes().map((axis) => [axis, axis])].map(([key, text]) => new Option(text, key));
    at(id).replaceChildren(...options);
    at(id).value = axes()[place] ?? NONE;
    at(id).addEventListener("change", () => { view.tab = null; draw(); });
  }
}

function draw() {
  const [across, down, tabs] = ["across", "down", "tabs"].map((id) => at(id).value);
  const found = view.facts.films.filter(wanted), names = tabs === NONE ? [] : unique(view.facts.films.map((film) => value(film, tabs)));
  if (!names.includes(view.tab)) view.tab = names[0] ?? null;
  at("tablist").hidden = !names.length;
  at("tablist").replaceChildren(...names.map((name) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", String(name === view.tab));
    tab.textContent = `${tabs}=${name}`;
    tab.addEventListener("click", () => { view.tab = name; draw(); });
    return tab;
  }));
  const films = found.filter((film) => tabs === NONE || value(film, tabs) === view.tab);
  const columns = across === NONE ? [null] : unique(films.map((film) => value(film, across)));
  const lines = down === NONE ? [null] : unique(films.map((film) => value(film, down)));
  const cells = [];
  if (across !== NONE) {
    cells.push(cell("", "corner"), ...columns.map((name) => cell(`${across}=${name}`, "head")));
  }
  for (const line of lines) {
    if (across !== NONE || down !== NONE) cells.push(cell(down === NONE ? "" : `${down}=${line}`, "side"));
    for (const column of columns) {
      const here = films.filter((film) => (column === null || value(film, across) === column) && (line === null || value(film, down) === line));
      const box = cell("", "cards");
      box.append(...here.map(card));
      cells.push(box);
    }
  }
  const sides = across !== NONE || down !== NONE ? 1 : 0;
  at("grid").style.gridTemplateColumns = `${sides ? "max-content " : ""}repeat(${columns.length}, minmax(min-content, 1fr))`;
  at("grid").replaceChildren(...cells);
  const favourites = view.facts.films.filter((film) => view.starred.has(film.folder));
  at("chosen").hidden = !favourites.length;
  at("promote").textContent = favourites.length ? `render promote ${favourites.map((film) => quoted(film.path)).join(" ")}` : "";
  move();
}

function cell(text, kind) {
  const box = document.createElement("div");
  box.className = kind;
  box.textContent = text;
  return box;
}

function wanted(film) {
  const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${label(film)} ${film.folder}`.toLowerCase();
  return words.every((word) => text.includes(word)) && (!at("starred").checked || view.starred.has(film.folder));
}

const label = (film) => axes().map((axis) => `${axis}=${value(film, axis)}`).join(" ") || film.folder;
const quoted = (text) => /^[\w./=,+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// Cards -------------------------------------------------------------------------------------------

function card(film) {
  const box = document.createElement("figure"), picture = document.createElement("button"), star = document.createElement("button");
  const text = document.createElement("figcaption");
  picture.type = star.type = "button";
  picture.className = "thumb";
  picture.dataset.folder = film.folder;
  picture.style.aspectRatio = String(film.ratio);
  picture.setAttribute("aria-label", `Compare ${label(film)}`);
  if (film.strip) {
    picture.style.backgroundImage = `url("${encodeURI(film.folder)}/${film.strip.file}")`;
    picture.style.backgroundSize = `${film.strip.count * 100}% 100%`;
  } else {
    picture.textContent = "not there yet";
  }
  picture.addEventListener("click", () => compare(film));
  star.className = "star";
  const mark = () => {
    const on = view.starred.has(film.folder);
    star.textContent = on ? "★" : "☆";
    star.setAttribute("aria-pressed", String(on));
    star.setAttribute("aria-label", `Favourite: ${label(film)}`);
  };
  mark();
  star.addEventListener("click", () => {
    if (!view.starred.delete(film.folder)) view.starred.add(film.folder);
    save();
    draw();
    document.querySelector(`[data-star="${CSS.escape(film.folder)}"]`)?.focus();
  });
  star.dataset.star = film.folder;
  const placed = ["across", "down", "tabs"].map((id) => at(id).value);
  text.append(star, ` ${axes().filter((axis) => !placed.includes(axis)).map((axis) => `${axis}=${value(film, axis)}`).join(" ")}`);
  box.append(picture, text);
  return box;
}

function move() {
  for (const picture of document.querySelectorAll(".thumb")) {
    const film = view.facts.films.find(({ folder }) => folder === picture.dataset.folder);
    if (!film.strip) continue;
    const { count } = film.strip, place = Math.min(count - 1, Math.floor(view.share * count));
    picture.style.backgroundPosition = `${count > 1 ? place / (count - 1) * 100 : 0}% 0`;
  }
  const longest = Math.max(...view.facts.films.map((film) => film.seconds));
  at("place").textContent = `${(view.share * longest).toFixed(2)} s`;
}

const KEY = () => `render favourites ${location.pathname}`;
function load() {
  try { view.starred = new Set(JSON.parse(localStorage.getItem(KEY()) ?? "[]")); } catch { view.starred = new Set(); }
}
function save() {
  try { localStorage.setItem(KEY(), JSON.stringify([...view.starred])); } catch { /* a browser that keeps nothing */ }
}

// Two films ---------------------------------------------------------------------------------------

function compare(film) {
  const other = view.chosen && view.chosen !== film.folder ? view.chosen : (view.facts.films.find(({ folder }) => folder !== film.folder) ?? film).folder;
  for (const [id, chosen] of [["left", film.folder], ["right", other]]) {
    at(id).replaceChildren(...view.facts.films.map((each) => new Option(label(each), each.folder)));
    at(id).value = chosen;
  }
  view.chosen = film.folder;
  at("moment").value = at("slider").value;
  at("compare").showModal();
  both();
}

function both() {
  const share = Number(at("moment").value) / 1000;
  for (const [id, picture, link] of [["left", "over", "open-left"], ["right", "under", "open-right"]]) {
    const film = view.facts.films.find(({ folder }) => folder === at(id).value);
    const frame = Math.min(film.count - 1, Math.floor(share * film.count));
    at(picture).src = `${encodeURI(film.folder)}/frames/frame_${String(frame).padStart(6, "0")}.png`;
    at(picture).dataset.frame = String(frame);
    at(link).href = `${encodeURI(film.folder)}/index.html#frame=${frame}`;
    if (id === "left") at("overrides").textContent = film.overrides;
  }
  const edge = Number(at("edge").value) / 10;
  at("over").style.clipPath = `inset(0 ${100 - edge}% 0 0)`;
  at("wipe").querySelector("i").style.left = `${edge}%`;
}

for (const id of ["left", "right", "edge", "moment"]) at(id).addEventListener("input", both);
at("wipe").addEventListener("pointermove", (event) => {
  const box = at("wipe").getBoundingClientRect();
  at("edge").value = (event.clientX - box.left) / box.width * 1000;
  both();
});
at("slider").addEventListener("input", () => { view.share = Number(at("slider").value) / 1000; move(); });
for (const id of ["filter", "starred"]) at(id).addEventListener("input", draw);
