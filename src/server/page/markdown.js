// Markdown as nodes. What a model writes is never parsed as HTML, and no address in it is ever loaded.

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`\n]{0,80})$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +(?=\S)|[ \t]*$)/;
const QUOTE = /^ {0,3}> ?/;
const ALIGN = /^ {0,3}\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$|^ {0,3}\| *:?-+:? *\|?$/;
// Deeper or longer than people write is shown as it stands.
const MOST_DEPTH = 8;
const MOST_TEXT = 20000;

const isBlank = (line) => /^\s*$/.test(line);

/** Whether a line begins something else than a paragraph. */
function begins(line, next) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line) || isTable(line, next);
}

function isTable(line, next) {
  return next !== undefined && line.includes("|") && ALIGN.test(next) && cells(line).length === cells(next).length;
}

function cells(line) {
  const parts = line.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/);
  return parts.map((part) => part.trim().replaceAll("\\|", "|"));
}

/** Lines as blocks: each has the line `at` which it begins, and makes its `node`. */
function blocks(lines, depth = 0) {
  const all = [];
  let i = 0;
  const add = (at, node) => all.push({ at, node });
  while (i < lines.length) {
    const at = i, line = lines[i];
    const fence = line.match(FENCE), heading = line.match(HEADING);
    if (isBlank(line)) {
      i++;
    } else if (fence) {
      const [, indent, mark, info] = fence;
      const end = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}[ \\t]*$`);
      const code = [];
      for (i++; i < lines.length && !end.test(lines[i]); i++) code.push(lines[i].replace(new RegExp(`^ {0,${indent.length}}`), ""));
      i++;
      add(at, () => codeBlock(code.join("\n"), info.trim().split(/\s/)[0]));
    } else if (heading) {
      i++;
      // The page has headings of its own above.
      const text = heading[2].trimEnd().replace(/(^|\s)#+$/, "");
      add(at, () => inline(el(`h${Math.min(heading[1].length + 2, 6)}`), text));
    } else if (RULE.test(line)) {
      i++;
      add(at, () => el("hr"));
    } else if (QUOTE.test(line) && depth < MOST_DEPTH) {
      const inner = [];
      while (i < lines.length && (QUOTE.test(lines[i]) || (!isBlank(lines[i]) && !begins(lines[i])))) inner.push(lines[i++].replace(QUOTE, ""));
      add(at, () => fill(el("blockquote"), inner, depth + 1));
    } else if (ITEM.test(line) && depth < MOST_DEPTH) {
      const found = list(lines, i);
      i = found.end;
      add(at, () => listNode(found, depth));
    } else if (isTable(line, lines[i + 1])) {
      const rows = [];
      for (i += 2; i < lines.length && lines[i].includes("|") && !isBlank(lines[i]); i++) rows.push(cells(lines[i]));
      add(at, () => table(cells(line), cells(lines[at + 1]), rows));
    } else {
      const text = [line.trimStart()];
      for (i++; i < lines.length && !isBlank(lines[i]) && !begins(lines[i], lines[i + 1]); i++) text.push(lines[i].trimStart());
      add(at, () => inline(el("p"), text.join("\n")));
    }
  }
  return all;
}

function fill(parent, lines, depth) {
  parent.append(...blocks(lines, depth).map((block) => block.node()));
  return parent;
}

/** The list that begins in a line: its items as lines, and where it ends. */
function list(lines, i) {
  const [, indent, first] = lines[i].match(ITEM);
  const isOrdered = /\d/.test(first), items = [];
  let isLoose = false, blank = false;
  for (; i < lines.length; i++) {
    const line = lines[i], item = line.match(ITEM), lead = line.search(/\S/);
    const isSame = item && item[1].length < indent.length + 2 && /\d/.test(item[2]) === isOrdered && !RULE.test(line);
    if (lead < 0) {
      blank = true;
      items.at(-1)?.lines.push("");
    } else if (isSame) {
      isLoose ||= blank;
      blank = false;
      items.push({ width: item[0].length, lines: [line.slice(item[0].length)] });
    } else if (items.length && lead >= indent.length + 2) {
      const { width, lines: own } = items.at(-1);
      isLoose ||= blank && !item && lead < width + 4;
      blank = false;
      own.push(line.slice(Math.min(lead, width)));
    } else if (items.length && !blank && !begins(line, lines[i + 1])) {
      items.at(-1).lines.push(line.trimStart());
    } else {
      break;
    }
  }
  return { isOrdered, start: parseInt(first, 10), items, isLoose, end: i };
}

function listNode({ isOrdered, start, items, isLoose }, depth) {
  const node = isOrdered ? el("ol", { start: start === 1 ? null : start }) : el("ul");
  for (const { lines } of items) {
    const task = lines[0].match(/^\[([ xX])\] /);
    if (task) lines[0] = (task[1] === " " ? "☐ " : "☑ ") + lines[0].slice(4);
    const item = fill(el("li"), lines, depth + 1);
    // Short items are no paragraphs.
    if (!isLoose) for (const p of [...item.children]) if (p.tagName === "P") p.replaceWith(...p.childNodes);
    node.append(item);
  }
  return node;
}

function table(head, aligns, rows) {
  const sides = aligns.map((align) => (align.endsWith(":") ? (align.startsWith(":") ? "middle" : "right") : null));
  const row = (texts, tag) => el("tr", {}, ...head.map((_, at) => inline(el(tag, { class: sides[at] }), texts[at] ?? "")));
  const body = el("tbody", {}, ...rows.map((texts) => row(texts, "td")));
  return el("div", { class: "table", tabindex: 0 }, el("table", {}, el("thead", {}, row(head, "th")), body));
}

function codeBlock(text, language) {
  const code = el("code", {}, text);
  const copyButton = button("copy", "Copy the code", () => copy(code.textContent, copyButton));
  const bar = el("div", { class: "code-bar" }, el("span", {}, language || "code"), copyButton);
  return el("div", { class: "code" }, bar, el("pre", { tabindex: 0 }, code));
}

/** Whether an address may be a link: nothing but the web. */
function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

function link(address, fillLink) {
  const a = el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" });
  fillLink(a);
  return a;
}

const MARKS = [["**", "strong"], ["__", "strong"], ["~~", "s"], ["*", "em"], ["_", "em"]];
const SPECIAL = /[\\`*_~[!<\n]|https?:\/\//g;
const WORD = /[\p{L}\p{N}]/u;

/** Adds a text with its marks to `parent`. */
function inline(parent, text, depth = 0) {
  if (text.length > MOST_TEXT || depth > MOST_DEPTH) {
    parent.append(text);
    return parent;
  }
  // Marks that were found to have no end have none later either.
  const open = new Set();
  let plain = 0, at = 0;
  const flush = (to) => to > plain && parent.append(text.slice(plain, to));
  const put = (node, end) => {
    flush(at);
    parent.append(node);
    plain = at = end;
  };
  for (;;) {
    SPECIAL.lastIndex = at;
    const found = SPECIAL.exec(text);
    if (!found) break;
    at = found.index;
    const made = special(text, at, found[0], open, depth);
    if (made) put(made.node, made.end);
    else at += found[0].length;
  }
  flush(text.length);
  return parent;
}

/** The node of what stands at `at`, and where it ends; nothing if it is plain text. */
function special(text, at, sign, open, depth) {
  const rest = () => text.slice(at, at + 2100);
  if (sign === "\n") return { node: el("br"), end: at + 1 };
  if (sign === "\\") {
    const escaped = text[at + 1];
    return escaped && /[!-/:-@[-`{-~]/.test(escaped) ? { node: document.createTextNode(escaped), end: at + 2 } : null;
  }
  if (sign === "`") {
    const run = /`+/y;
    run.lastIndex = at;
    const mark = run.exec(text)[0], from = at + mark.length;
    let end = open.has(mark) ? -1 : text.indexOf(mark, from);
    while (end >= 0 && text[end + mark.length] === "`") {
      while (text[end] === "`") end++;
      end = text.indexOf(mark, end);
    }
    if (end < 0) open.add(mark);
    const node = end < 0 ? document.createTextNode(mark) : el("code", {}, text.slice(from, end).replace(/^ (.*) $/s, "$1"));
    return { node, end: end < 0 ? from : end + mark.length };
  }
  if (sign === "[" || sign === "!") {
    const found = rest().match(/^!?\[((?:[^[\]\\\n]|\\.|\[[^[\]\n]*\]){0,1000})\]\(<?((?:[^\s()<>]|\([^\s()<>]*\)){1,1000})>?(?: +"[^"\n]{0,200}")?\)/);
    const address = found && webAddress(found[2]);
    return address ? { node: link(address, (a) => inline(a, found[1] || found[2], MOST_DEPTH)), end: at + found[0].length } : null;
  }
  if (sign === "<" || sign.startsWith("http")) {
    const found = rest().match(sign === "<" ? /^<(https?:\/\/[^\s<>]{1,2000})>/ : /^(https?:\/\/[^\s<>"`|]{1,2000})/);
    if (!found || (sign !== "<" && WORD.test(text[at - 1] ?? ""))) return null;
    let shown = found[1];
    if (sign !== "<") {
      shown = shown.replace(/[.,;:!?'*_~]+$/, "");
      while (shown.endsWith(")") && shown.split(")").length > shown.split("(").length) shown = shown.slice(0, -1).replace(/[.,;:!?]+$/, "");
    }
    const address = webAddress(shown);
    return address ? { node: link(address, (a) => a.append(shown)), end: at + (sign === "<" ? found[0].length : shown.length) } : null;
  }
  for (const [mark, tag] of MARKS) {
    if (!text.startsWith(mark, at) || open.has(mark)) continue;
    const end = closing(text, at, mark);
    if (end === null) continue;
    if (end < 0) {
      open.add(mark);
      continue;
    }
    return { node: inline(el(tag), text.slice(at + mark.length, end), depth + 1), end: end + mark.length };
  }
  return null;
}

/** Where a mark that opens at `at` closes: null if it opens nothing, -1 if it never closes. */
function closing(text, at, mark) {
  const from = at + mark.length, isWordy = mark[0] === "_";
  if (!text[from] || /\s/.test(text[from]) || (isWordy && WORD.test(text[at - 1] ?? ""))) return null;
  for (let end = text.indexOf(mark, from + 1); end >= 0; end = text.indexOf(mark, end + 1)) {
    const isLonger = mark.length === 1 && (text[end - 1] === mark || text[end + 1] === mark);
    if (isLonger) {
      while (text[end + 1] === mark) end++;
      continue;
    }
    // Of three the last two close, so that **a *b*** nests.
    if (mark.length === 2 && text[end + 2] === mark[0]) end++;
    if (!/\s/.test(text[end - 1]) && !(isWordy && WORD.test(text[end + mark.length] ?? ""))) return end;
  }
  return -1;
}

/** A text that grows: what can change no more is made once. */
class Growing {
  constructor(place) {
    this.place = place;
    this.text = "";
    this.from = 0;
    this.loose = [];
  }

  /** Shows the text so far, which begins with what was shown before. */
  show(text, isWhole = false) {
    if (this.isOver) return;
    this.isOver = isWhole;
    this.text = text;
    const lines = text.slice(this.from).split("\n");
    const found = blocks(lines);
    for (const node of this.loose) node.remove();
    // What a line begins can be said when the line is whole.
    let settled = isWhole ? found.length : found.length - 1;
    if (!isWhole && settled > 0 && found[settled].at === lines.length - 1) settled--;
    const nodes = found.map((block) => block.node());
    this.place.append(...nodes);
    this.loose = nodes.slice(Math.max(settled, 0));
    if (settled > 0 && settled < found.length) {
      for (let line = 0; line < found[settled].at; line++) this.from += lines[line].length + 1;
    }
  }
}
