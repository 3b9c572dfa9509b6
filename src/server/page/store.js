// Conversations, kept in this browser. Each is a tree of messages: an edit or another answer is a branch beside the first.

const MOST_IMPORT = 64 << 20;

/** The database, or nothing where a browser gives none: then all is forgotten with the page. */
const database = new Promise((done) => {
  try {
    const opening = indexedDB.open("llm_rs2", 1);
    opening.onupgradeneeded = () => {
      // Titles apart from texts: the list needs nothing else.
      opening.result.createObjectStore("titles", { keyPath: "id" });
      opening.result.createObjectStore("texts", { keyPath: "id" });
    };
    opening.onsuccess = () => done(opening.result);
    opening.onerror = () => done(null);
  } catch {
    done(null);
  }
});

async function transaction(mode, work) {
  const db = await database;
  if (!db) return undefined;
  return new Promise((done, failed) => {
    const all = db.transaction(["titles", "texts"], mode);
    const asked = work(all.objectStore("titles"), all.objectStore("texts"));
    all.oncomplete = () => done(asked?.result);
    all.onerror = all.onabort = () => failed(all.error);
  });
}

const newId = () => Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("");

const others = typeof BroadcastChannel === "function" ? new BroadcastChannel("llm_rs2") : null;

const store = {
  list: async () => ((await transaction("readonly", (titles) => titles.getAll())) ?? []).sort((a, b) => b.updated - a.updated),
  get: async (id) => {
    const title = await transaction("readonly", (titles) => titles.get(id));
    const text = await transaction("readonly", (_, texts) => texts.get(id));
    return title && text ? { ...title, ...text } : null;
  },
  put: async ({ id, title, created, updated, head, nodes, settings }) => {
    await transaction("readwrite", (titles, texts) => {
      titles.put({ id, title, created, updated });
      texts.put({ id, head, nodes, settings });
    });
    others?.postMessage(id);
  },
  remove: async (id) => {
    await transaction("readwrite", (titles, texts) => {
      titles.delete(id);
      texts.delete(id);
    });
    others?.postMessage(id);
  },
};

function newConversation(settings) {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, head: null, nodes: {}, settings: structuredClone(settings) };
}

/** The messages from the first to the one that is shown last. */
function path(conversation, last = conversation.head) {
  const all = [];
  for (let node = conversation.nodes[last]; node; node = conversation.nodes[node.parent]) all.unshift(node);
  return all;
}

/** What stands beside a message, itself included. */
function beside(conversation, node) {
  return Object.values(conversation.nodes).filter((other) => other.parent === node.parent).sort((a, b) => a.time - b.time);
}

/** The last message of the branch that was shown last below one. */
function lastBelow(conversation, node) {
  for (;;) {
    const below = Object.values(conversation.nodes).filter((other) => other.parent === node.id);
    if (!below.length) return node.id;
    node = below.reduce((a, b) => (b.time >= a.time ? b : a));
  }
}

function addNode(conversation, role, parent, text = "") {
  const node = { id: newId(), role, parent, text, time: Date.now() };
  // Two in one millisecond keep their order.
  const last = Math.max(0, ...Object.values(conversation.nodes).map((other) => other.time));
  node.time = Math.max(node.time, last + 1);
  conversation.nodes[node.id] = node;
  conversation.head = node.id;
  return node;
}

function titleOf(text) {
  const line = text.trim().split("\n")[0].replace(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 57).trimEnd()}…` : line;
}

async function exported(ids) {
  const all = [];
  for (const id of ids) all.push(await store.get(id));
  return JSON.stringify({ kind: "llm_rs2 conversations", version: 1, conversations: all.filter(Boolean) }, null, 1);
}

/** Conversations of a file, which is not trusted: what is no conversation of this page is an error. */
function imported(text) {
  const file = JSON.parse(text);
  if (file?.kind !== "llm_rs2 conversations" || file.version !== 1 || !Array.isArray(file.conversations)) throw new Error("it was not exported from here");
  const string = (value) => (typeof value === "string" ? value : "");
  return file.conversations.map((given) => {
    const made = newConversation(cleanSettings(given?.settings));
    const ids = new Map(Object.keys(given?.nodes ?? {}).map((id) => [id, newId()]));
    made.title = string(given?.title).slice(0, 200) || "Imported";
    for (const key of ["created", "updated"]) if (Number.isFinite(given[key])) made[key] = given[key];
    for (const [old, id] of ids) {
      const node = given.nodes[old];
      if (!["user", "assistant"].includes(node?.role)) throw new Error("a message in it is of neither side");
      const { stats, finish } = node;
      const numbers = Object.entries(stats ?? {}).filter(([, value]) => Number.isFinite(value));
      made.nodes[id] = {
        id, role: node.role, parent: ids.get(node.parent) ?? null, text: string(node.text), reasoning: string(node.reasoning),
        time: Number.isFinite(node.time) ? node.time : 0, model: string(node.model), finish: string(finish), error: string(node.error),
        stats: numbers.length ? Object.fromEntries(numbers) : undefined,
      };
    }
    // A ring has no first message.
    for (const node of Object.values(made.nodes)) {
      const seen = new Set();
      for (let up = node; up; up = made.nodes[up.parent]) {
        if (seen.has(up.id)) throw new Error("its messages go in a circle");
        seen.add(up.id);
      }
    }
    made.head = ids.get(given.head) ?? null;
    return made;
  });
}
