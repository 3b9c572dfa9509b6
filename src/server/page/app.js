// The page: which conversation is shown, and what keys and buttons do.

let current = newConversation(lastSettings);
let titles = [];
let props = null;
let models = [];
/** Answers in progress by conversation: each with its conversation, node and what stops it. */
const running = new Map();
/** The messages that are shown, by their ids. */
const shown = new Map();

const scroll = $("scroll"), input = $("input");
const isAtEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
let followed = true;

const acts = {
  again: (node) => generate(current.nodes[node.parent]),
  edit: (message) => running.has(current.id) || message.edit((text) => send(text, message.node.parent)),
  turn: (node) => {
    current.head = lastBelow(current, node);
    save(current);
    render(node.parent);
  },
  drawn: () => followed && scroll.scrollTo({ top: scroll.scrollHeight }),
};

let lastTop = 0;
scroll.addEventListener("scroll", () => {
  // The view follows a text that grows, unless the user has scrolled up.
  if (isAtEnd()) followed = true;
  else if (scroll.scrollTop < lastTop - 2) followed = false;
  lastTop = scroll.scrollTop;
  $("to-end").hidden = followed;
});
$("to-end").onclick = () => scroll.scrollTo({ top: scroll.scrollHeight, behavior: "smooth" });

/** Stores a conversation that has begun. */
async function save(conversation, isNew = false) {
  if (!conversation.head) return;
  if (isNew) conversation.updated = Date.now();
  try {
    await store.put(conversation);
  } catch (error) {
    toast(`This conversation could not be stored: ${error?.message ?? error}`);
  }
  if (isNew) await showList();
}

/** Shows the conversation; what comes before and with the message `from` stays as it is. */
function render(from = null) {
  const all = path(current), ids = new Set(all.map((node) => node.id));
  const kept = from ? all.findIndex((node) => node.id === from) + 1 : 0;
  for (const [id, message] of shown) {
    if (ids.has(id) && all.slice(0, kept).some((node) => node.id === id)) continue;
    message.element.remove();
    shown.delete(id);
  }
  all.slice(kept).forEach(show);
  $("welcome").hidden = all.length > 0;
  $("title").textContent = current.title || "New chat";
  document.title = current.title ? `${current.title} – llm_rs2` : "llm_rs2";
  showRunning();
  acts.drawn();
}

function show(node) {
  const message = new Shown(current, node, acts, running.get(current.id)?.node === node);
  shown.set(node.id, message);
  $("log").append(message.element);
}

function showRunning() {
  const isRunning = running.has(current.id);
  $("send").hidden = isRunning;
  $("stop").hidden = !isRunning;
  $("log").setAttribute("aria-busy", isRunning);
}

async function showList() {
  titles = await store.list();
  const wanted = $("filter").value.trim().toLowerCase();
  const found = titles.filter(({ title }) => title.toLowerCase().includes(wanted));
  $("list").replaceChildren(...found.map((title) => {
    const open = el("button", { type: "button", class: "open", "aria-current": title.id === current.id ? "true" : null, onclick: () => openConversation(title.id) }, title.title || "Untitled");
    const actions = el("span", { class: "acts" },
      button("edit", `Rename ${title.title}`, () => rename(title, open)),
      button("export", `Export ${title.title}`, async () => download(await exported([title.id]), titleOf(title.title) || "conversation")),
      button("delete", `Delete ${title.title}`, () => remove(title)));
    return el("li", {}, open, actions);
  }));
  $("list-empty").hidden = titles.length > 0;
}

function rename(title, place) {
  const box = el("input", { type: "text", "aria-label": "Title", maxlength: 200, class: "open" });
  box.value = title.title;
  let isOver = false;
  const end = async (isKept) => {
    if (isOver) return;
    isOver = true;
    const text = box.value.trim();
    if (isKept && text) {
      const conversation = running.get(title.id)?.conversation ?? (title.id === current.id ? current : await store.get(title.id));
      conversation.title = text;
      await save(conversation);
      if (conversation === current) $("title").textContent = text;
    }
    showList();
  };
  box.addEventListener("blur", () => end(true));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.stopPropagation();
    end(event.key === "Enter");
  });
  place.replaceWith(box);
  box.select();
}

async function remove({ id, title }) {
  running.get(id)?.abort.abort();
  running.delete(id);
  const conversation = id === current.id && current.head ? current : await store.get(id);
  await store.remove(id);
  if (id === current.id) newChat();
  await showList();
  toast(`“${title}” is deleted.`, "Undo", async () => {
    await store.put(conversation);
    openConversation(id);
  });
}

function newChat() {
  current = newConversation(lastSettings);
  opened();
}

async function openConversation(id) {
  const found = running.get(id)?.conversation ?? (await store.get(id));
  if (!found) return newChat();
  current = found;
  current.settings = cleanSettings(current.settings);
  opened();
}

/** Another conversation is the current one. */
function opened() {
  history.replaceState(null, "", current.head ? `#${current.id}` : "#");
  document.body.classList.remove("side");
  for (const message of shown.values()) message.element.remove();
  shown.clear();
  followed = true;
  render();
  showModels();
  showList();
  // On a phone the keyboard would cover what was opened.
  if (!matchMedia("(pointer: coarse)").matches) input.focus({ preventScroll: true });
}

/** Adds a message of the user below `parent`, and asks for its answer. */
function send(text, parent = current.head) {
  if (running.has(current.id)) return;
  const isFirst = !current.head;
  const node = addNode(current, "user", parent, text);
  if (isFirst) {
    current.title = titleOf(text);
    history.replaceState(null, "", `#${current.id}`);
  }
  render(parent);
  generate(node);
}

/** Asks for an answer to a message of the user. */
async function generate(parent) {
  const conversation = current;
  if (!parent || running.has(conversation.id)) return;
  const { settings } = conversation;
  const node = addNode(conversation, "assistant", parent.id);
  const model = models.includes(settings.model) ? settings.model : models[0];
  // Until it ends: so a page that is closed meanwhile leaves a part.
  Object.assign(node, { model, finish: "open" });
  const run = { conversation, node, abort: new AbortController() };
  running.set(conversation.id, run);
  followed = true;
  render(parent.id);
  await save(conversation, true);
  announce("The model answers");
  let saved = performance.now();
  const grown = () => {
    if (current === conversation) shown.get(node.id)?.grow();
    if (performance.now() - saved > 1500) {
      saved = performance.now();
      save(conversation);
    }
  };
  try {
    for (let isFirst = true; ; isFirst = false) {
      try {
        if (!props) await meet();
        const asked = request(path(conversation, parent.id), settings, model ?? models[0], Boolean(props?.chat_template));
        await answer(node, asked, run.abort.signal, grown);
        break;
      } catch (error) {
        if (!isFirst || error.status !== 401 || !(await askForKey(error.message))) throw error;
      }
    }
    if (node.finish === "open") node.finish = "stop";
  } catch (error) {
    node.finish = "stopped";
    if (error.name !== "AbortError") {
      node.error = error instanceof Refused ? error.message : `The answer could not be read: ${error.message}.`;
      if (error.wait) node.error += ` It should go in ${error.wait} s.`;
      if (error.status === 404) props = null;
    }
  }
  const isShown = current === conversation;
  if (running.get(conversation.id) === run) running.delete(conversation.id);
  // Nothing is left of an answer that was stopped before it began.
  if (node.finish === "stopped" && !node.error && !node.text && !node.reasoning) {
    delete conversation.nodes[node.id];
    conversation.head = parent.id;
    if (isShown) render(parent.id);
  } else if (isShown) {
    shown.get(node.id)?.settle(conversation);
    showRunning();
  }
  if (isShown) acts.drawn();
  announce(node.error ?? "The answer is there");
  if (titles.some(({ id }) => id === conversation.id)) await save(conversation, true);
}

const stop = () => running.get(current.id)?.abort.abort();

/** Learns what the server has; waits while it loads its model. */
async function meet() {
  for (;;) {
    try {
      const [found, list] = await Promise.all([get("props"), get("v1/models")]);
      props = found;
      models = list.data.map((model) => model.id);
      $("notice").hidden = true;
      if (!props.chat_template) notice("This model has no chat template: it goes on with your text, and knows no conversations.");
      $("welcome-text").textContent = `${props.default_generation_settings.n_ctx.toLocaleString("en")} tokens of context. What you write goes to this server and nowhere else.`;
      showModels();
      return;
    } catch (error) {
      if (error.status === 401 && (await askForKey(error.message))) continue;
      if (error.status !== 503) throw error;
      notice("The model is being loaded …");
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
}

function showModels() {
  const { model } = current.settings;
  $("model").replaceChildren(...models.map((name) => el("option", { value: name, selected: name === model }, name)));
  $("model").hidden = models.length === 0;
}

function download(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  el("a", { href: url, download: `${name.replace(/[^\p{L}\p{N} _-]/gu, "")}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

$("model").onchange = () => {
  current.settings.model = $("model").value;
  keepSettings(current.settings);
  save(current);
};
$("new").onclick = newChat;
$("filter").oninput = showList;
$("export").onclick = async () => download(await exported(titles.map(({ id }) => id)), "conversations");
$("import").onclick = () => $("file").click();
$("file").onchange = async () => {
  const [file] = $("file").files;
  $("file").value = "";
  try {
    if (file.size > MOST_IMPORT) throw new Error("it is longer than 64 MiB");
    const all = imported(await file.text());
    for (const conversation of all) await store.put(conversation);
    await showList();
    toast(`${all.length} conversations are imported.`);
  } catch (error) {
    toast(`“${file.name}” cannot be imported: ${error.message}.`);
  }
};
$("side-open").onclick = () => {
  const name = matchMedia("(max-width: 47rem)").matches ? "side" : "no-side";
  document.body.classList.toggle(name);
};
for (const id of ["side-close", "shade"]) $(id).onclick = () => document.body.classList.remove("side");
$("settings-open").onclick = () => {
  showSettings(current.settings, props, () => keepSettings(current.settings));
  $("settings").showModal();
};
$("settings").onclose = () => save(current);
$("settings").onclick = (event) => event.target === $("settings") && $("settings").close();
$("key-open").onclick = async () => {
  $("settings").close();
  if (await askForKey("It is sent with each request; an empty one is forgotten.")) begin();
};
$("stop").onclick = stop;

$("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text || running.has(current.id)) return;
  input.value = "";
  fit(input);
  followed = true;
  send(text);
};
input.addEventListener("input", () => fit(input));
input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    $("composer").requestSubmit();
  } else if (event.key === "ArrowUp" && !input.value && !running.has(current.id)) {
    const last = path(current).filter((node) => node.role === "user").at(-1);
    if (last) {
      event.preventDefault();
      acts.edit(shown.get(last.id));
    }
  }
});
addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    newChat();
  } else if (event.key === "Escape") {
    if (document.body.classList.contains("side")) document.body.classList.remove("side");
    else stop();
  }
});
// Another tab has changed something.
if (others) others.onmessage = async ({ data }) => {
  await showList();
  if (data === current.id && !running.has(data) && current.head) {
    const found = await store.get(data);
    if (!found) return newChat();
    current = found;
    render();
  }
};
addEventListener("pagehide", () => {
  for (const { conversation } of running.values()) save(conversation);
});

async function begin() {
  props = null;
  try {
    await meet();
  } catch (error) {
    notice(error.message);
  }
  if (!(await database)) notice("This browser gives the page no place to store: conversations are forgotten when it is closed.");
}

await (location.hash.length > 1 ? openConversation(location.hash.slice(1)) : newChat());
begin();
