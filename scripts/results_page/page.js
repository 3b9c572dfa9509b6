"use strict";
// Everything that comes from a file of results is put in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

// An element with attributes and children; text becomes text nodes.
function make(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "rect", "text", "g"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === undefined) continue;
    node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// ---- what is shown: kept in the address, so that a view can be passed on

const FILTERS = [["device", "Device"], ["backend", "Backend"], ["format", "Format"], ["kind", "Measured"]];
const state = { sort: "-speed" };

function readAddress() {
  for (const key of Object.keys(state)) if (key !== "sort") delete state[key];
  state.sort = "-speed";
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) state[key] = value;
}

function set(key, value) {
  if (value) state[key] = value;
  else delete state[key];
  const query = new URLSearchParams(Object.entries(state).filter(([k, v]) => k !== "sort" || v !== "-speed"));
  history.replaceState(null, "", `#${query}`);
  draw();
}

function select(key, title, options, chosen) {
  const list = make("select", { "data-key": key });
  for (const [value, text] of options) list.append(make("option", { value, selected: value === chosen && "" }, text));
  list.addEventListener("change", () => set(key, list.value));
  return make("label", {}, title, list);
}

const matches = (row) => FILTERS.every(([key]) => !state[key] || row[key] === state[key]);

function drawFilters() {
  const all = [...data.runs, ...data.profiles];
  $("filters").replaceChildren(...FILTERS.map(([key, title]) => {
    const values = [...new Set(all.map((row) => row[key]).filter(Boolean))].sort();
    return select(key, title, [["", "all"], ...values.map((v) => [v, v])], state[key] ?? "");
  }));
}

// ---- the table

const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const COLUMNS = [
  ["program", "Program", "long"], ["format", "Format", ""], ["test", "Test", ""], ["speed", "tok/s", "number"],
  ["range", "Range", "number wide"], ["backend", "Backend", ""], ["device", "Device", "long"], ["model", "Model", "long"],
  ["date", "Date", ""],
];

function compare(key) {
  // The test's name sorts by kind, then depth and length: "pp512" before "tg32 @ d0" before "tg32 @ d4096".
  const of = { test: (r) => r.order, range: (r) => [r.high - r.low] }[key] ?? ((r) => [r[key]]);
  return (a, b) => {
    const [x, y] = [of(a), of(b)];
    for (let i = 0; i < x.length; i++) {
      if (x[i] === y[i]) continue;
      return typeof x[i] === "string" ? x[i].localeCompare(y[i]) : x[i] - y[i];
    }
    return 0;
  };
}

function drawRuns() {
  const descending = state.sort.startsWith("-");
  const key = state.sort.replace("-", "");
  $("runs").tHead.replaceChildren(make("tr", {}, ...COLUMNS.map(([name, title, kind]) => {
    const sorted = name === key && (descending ? "descending" : "ascending");
    const button = make("button", { type: "button", "data-sort": name }, title);
    button.addEventListener("click", () => set("sort", state.sort === `-${name}` ? name : `-${name}`));
    return make("th", { class: kind, "aria-sort": sorted, scope: "col" }, button);
  })));
  const rows = data.runs.filter(matches).sort(compare(key));
  if (descending) rows.reverse();
  $("runs").tBodies[0].replaceChildren(...rows.map((row) => make("tr", { class: row.ours ? "ours" : "", title: row.about },
    ...COLUMNS.map(([name, , kind]) => {
      const text = name === "speed" ? number(row.speed) : name === "range" ? `${number(row.low)} – ${number(row.high)}` : row[name];
      return make("td", { class: kind }, text);
    }))));
  if (!rows.length) {
    $("runs").tBodies[0].append(make("tr", {}, make("td", { class: "empty", colspan: COLUMNS.length }, "no run is like that")));
  }
  $("summary").textContent = `${rows.length} of ${data.runs.length} measurements, ${data.profiles.length} profiles, `
    + `from ${data.files} files; made by ${data.made_by}`;
}

// ---- peers

function drawPeers() {
  const groups = data.peers.filter(matches);
  $("peers").hidden = !data.peers.length;
  $("bars").replaceChildren(...groups.map((group) => {
    const most = Math.max(...group.bars.map((bar) => bar.speed));
    return make("div", { class: "group" }, make("h3", {}, `${group.format}, ${group.test}`),
      make("p", { class: "note", title: group.about }, `${group.device}, ${group.model}`),
      ...group.bars.map((bar) => make("div", { class: bar.ours ? "bar ours" : "bar" }, make("span", {}, bar.program),
        make("div", {}, make("i", { style: `width:${(bar.speed / most) * 70}%` }), make("b", {}, number(bar.speed))))));
  }));
  if (!groups.length) $("bars").append(make("p", { class: "empty" }, "no comparison is like that"));
}

// ---- profiles

const WIDTH = 600, HEIGHT = 180, LEFT = 52, BOTTOM = 24, TOP = 8;

// Steps between grid lines: 1, 2 or 5 times a power of ten, so that about `count` fit.
function step(span, count) {
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
}

function chart(panel, profile, range) {
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${panel.title}: ${profile.title}` });
  const [low, high] = range, end = profile.end;
  const x = (t) => LEFT + (t / end) * (WIDTH - LEFT - 6);
  const y = (v) => HEIGHT - BOTTOM - ((v - low) / (high - low)) * (HEIGHT - BOTTOM - TOP);
  for (const [from, to] of profile.spans) {
    svg.append(make("rect", { class: "run", x: x(from), y: TOP, width: Math.max(x(to) - x(from), 1), height: HEIGHT - BOTTOM - TOP }));
  }
  const gap = step(high - low, 4);
  for (let v = Math.ceil(low / gap) * gap; v <= high + gap / 1e6; v += gap) {
    svg.append(make("line", { class: "grid", x1: LEFT, x2: WIDTH - 6, y1: y(v), y2: y(v) }));
    svg.append(make("text", { x: LEFT - 5, y: y(v) + 4, "text-anchor": "end" }, String(+v.toPrecision(6))));
  }
  const pause = step(end, 6);
  for (let t = 0; t <= end; t += pause) {
    svg.append(make("text", { x: x(t), y: HEIGHT - 5, "text-anchor": t ? "middle" : "start" }, `${+t.toPrecision(6)} s`));
  }
  const legend = make("div", { class: "legend" });
  const readouts = panel.series.map((series, index) => {
    const points = series.points.map(([t, v]) => (v === null ? null : [x(t), y(v)]));
    const path = points.map((p, i) => (p ? `${i && points[i - 1] ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}` : "")).join("");
    const color = `var(--s${index % 6})`;
    svg.append(make("path", { class: "series", d: path, style: `stroke:${color}` }));
    const value = make("b", {});
    legend.append(make("span", {}, make("i", { style: `background:${color}` }), `${series.name} `, value));
    return [series, value];
  });
  const cursor = make("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - 6) * end;
    for (const [key, value] of [["x1", x(at)], ["x2", x(at)], ["visibility", at < 0 ? "hidden" : "visible"]]) cursor.setAttribute(key, value);
    for (const [series, value] of readouts) {
      let best = null;
      for (const [t, v] of series.points) if (v !== null && (!best || Math.abs(t - at) < Math.abs(best[0] - at))) best = [t, v];
      value.textContent = best ? number(best[1]) : "";
    }
  });
  return make("figure", {}, make("figcaption", {}, panel.title), svg, legend);
}

// The scale of a panel, shared by both profiles so that they can be compared by eye.
function scale(panels) {
  const values = panels.flatMap((p) => p.series.flatMap((s) => s.points.map((q) => q[1]).filter((v) => v !== null)));
  if (!values.length) return null;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const from = panels[0].zero ? 0 : least - Math.max((most - least) * 0.1, 0.5);
  return [from, most > from ? most + (most - from) * 0.08 : from + 1];
}

function drawProfiles() {
  $("profiles").hidden = !data.profiles.length;
  const fitting = data.profiles.filter(matches);
  const known = (file) => fitting.find((p) => p.file === file);
  const first = known(state.a) ?? fitting[0];
  const second = known(state.b);
  const options = fitting.map((p) => [p.file, `${p.title}, ${p.date}`]);
  $("choice").replaceChildren(select("a", "Profile", options, first?.file), select("b", "Compare with", [["", "nothing"], ...options], second?.file ?? ""));
  const shown = [first, second].filter(Boolean);
  const titles = [...new Set(shown.flatMap((p) => p.panels.map((panel) => panel.title)))];
  $("pair").replaceChildren(...shown.map((profile) => make("div", { class: "group" }, make("h3", {}, profile.title),
    make("p", { class: "note" }, profile.about),
    ...titles.map((title) => {
      const all = shown.map((p) => p.panels.find((panel) => panel.title === title)).filter(Boolean);
      const own = profile.panels.find((panel) => panel.title === title);
      const range = scale(all);
      return own && range ? chart(own, profile, range)
        : make("figure", {}, make("figcaption", {}, title), make("p", { class: "empty" }, "not read on this device"));
    }))));
  if (!shown.length) $("pair").append(make("p", { class: "empty" }, "no profile is like that"));
}

// ---- kinds that this page has no picture for

function drawOthers() {
  $("others").hidden = !data.others.length;
  $("others").append(...data.others.map((other) => {
    const box = make("details", {}, make("summary", {}, other.title), make("p", { class: "note" }, other.about));
    for (const table of other.tables) {
      box.append(make("h3", {}, table.title), make("div", { class: "scroll" }, make("table", {},
        make("thead", {}, make("tr", {}, ...table.columns.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...table.rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))))))));
    }
    return box;
  }));
}

function draw() {
  drawFilters();
  drawRuns();
  drawPeers();
  drawProfiles();
}

addEventListener("hashchange", () => { readAddress(); draw(); });
readAddress();
draw();
drawOthers();
