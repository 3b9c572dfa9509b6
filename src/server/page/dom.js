// Small things about elements. Text only ever becomes text nodes.

/** A browser's storage; where it gives none, one that is forgotten with the page. */
function storage(name) {
  try {
    return window[name];
  } catch {
    const all = new Map();
    return { getItem: (key) => all.get(key) ?? null, setItem: (key, text) => all.set(key, text), removeItem: (key) => all.delete(key) };
  }
}

const local = storage("localStorage");
const session = storage("sessionStorage");

const $ = (id) => document.getElementById(id);

/** An element with attributes (`on…` are listeners) and children, of which texts stay texts. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

function button(name, label, onclick, more = {}) {
  return el("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...more }, icon(name));
}

for (const place of document.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));

/** Copies a text; `place` says for a moment that it is done. */
async function copy(text, place) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages that came over plain HTTP from another machine have no clipboard.
    const area = el("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  place.classList.add("done");
  setTimeout(() => place.classList.remove("done"), 1200);
  announce("Copied");
}

/** For those who hear the page. */
function announce(text) {
  $("status").textContent = text;
}

let toastTimer;

/** A note at the edge, with something that can be done about it. */
function toast(text, action, onclick) {
  const act = action && el("button", { type: "button", class: "plain", onclick: () => { hide(); onclick(); } }, action);
  const hide = () => $("toast").replaceChildren();
  $("toast").replaceChildren(el("div", {}, text, act));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(hide, 8000);
}

/** Gives a box of text the height of what it holds. */
function fit(area, most = 0.4) {
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight + 2, innerHeight * most)}px`;
}
