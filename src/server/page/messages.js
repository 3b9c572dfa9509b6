// Messages as they are shown. Each is made once; an answer that comes grows at its end.

/** What was measured of an answer, as a line. */
function measured({ rate, first, tokens, prompt, cached }) {
  const parts = [];
  if (Number.isFinite(rate)) parts.push(`${rate.toFixed(rate < 100 ? 1 : 0)} tokens/s`);
  if (Number.isFinite(first)) parts.push(`first token ${first.toFixed(first < 10 ? 2 : 0)} s`);
  if (tokens) parts.push(`${tokens} tokens`);
  if (prompt) parts.push(cached ? `prompt ${prompt}, ${cached} cached` : `prompt ${prompt}`);
  return parts.join(" · ");
}

/** A message on the page, and what `acts` can be done with it. */
class Shown {
  constructor(conversation, node, acts, isGrowing = false) {
    this.node = node;
    this.acts = acts;
    const isUser = node.role === "user";
    this.body = el("div", { class: "body" });
    this.foot = el("div", { class: "foot" });
    this.element = el("article", { class: node.role, "data-id": node.id, "aria-label": isUser ? "You" : node.model || "Answer" }, this.body, this.foot);
    if (isUser) this.body.append(node.text);
    else {
      this.words = el("span", {}, "Reasoning");
      this.thoughts = el("div", { class: "thoughts" });
      this.reasoning = el("details", { class: "reasoning", hidden: true }, el("summary", {}, this.words), this.thoughts);
      this.body.before(this.reasoning);
      this.growing = new Growing(this.body);
      this.thinking = new Growing(this.thoughts);
    }
    if (isGrowing) this.begin();
    else this.settle(conversation);
  }

  /** Shows what has come since; no more than once for each picture on the screen. */
  grow() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (!this.isGrowing) return;
      this.draw(false);
      this.acts.drawn();
    });
  }

  draw(isWhole) {
    const { text, reasoning, stats } = this.node;
    if (reasoning) {
      this.reasoning.hidden = false;
      this.words.textContent = text || isWhole ? (stats?.thought > 0.1 ? `Reasoned for ${stats.thought.toFixed(1)} s` : "Reasoning") : "Reasoning …";
      // What is folded is made when it is opened.
      if (this.reasoning.open || isWhole) this.thinking.show(reasoning.trimStart(), isWhole);
      else this.reasoning.ontoggle ??= () => this.isGrowing && this.thinking.show(this.node.reasoning.trimStart());
    }
    const shown = text.trimStart();
    if (shown || isWhole) this.growing.show(shown, isWhole);
    this.element.classList.toggle("waiting", !text && !isWhole);
  }

  /** Waits for an answer. */
  begin() {
    this.isGrowing = true;
    this.element.classList.add("growing", "waiting");
    this.foot.replaceChildren();
    this.draw(false);
  }

  /** Nothing more comes. */
  settle(conversation) {
    const { node, acts } = this, isUser = node.role === "user";
    this.isGrowing = false;
    this.element.classList.remove("growing", "waiting");
    if (!isUser) this.draw(true);
    const notes = [];
    if (node.error) notes.push(el("p", { class: "note bad" }, node.error, " ", el("button", { type: "button", class: "plain", onclick: () => acts.again(node) }, "Try again")));
    else if (node.finish === "stopped") notes.push(el("p", { class: "note" }, "Stopped."));
    else if (node.finish === "length") notes.push(el("p", { class: "note" }, "The answer has as many tokens as it may have."));
    else if (node.finish === "open") notes.push(el("p", { class: "note" }, "The page was closed before the answer ended."));
    const copyButton = button("copy", isUser ? "Copy the message" : "Copy the answer", () => copy(node.text, copyButton));
    const own = isUser ? button("edit", "Edit the message", () => acts.edit(this)) : button("again", "Another answer", () => acts.again(node));
    const stats = !isUser && node.stats ? el("span", { class: "stats" }, measured(node.stats)) : null;
    this.foot.replaceChildren(...notes, el("div", { class: "acts" }, this.turns(conversation), copyButton, own, stats));
  }

  /** What leads to the branches beside this one. */
  turns(conversation) {
    const all = beside(conversation, this.node), at = all.indexOf(this.node);
    if (all.length < 2) return null;
    const what = this.node.role === "user" ? "version" : "answer";
    const turn = (name, word, to) => button(name, `${word} ${what}`, () => this.acts.turn(all[to]), { disabled: !all[to] });
    return el("span", { class: "turns" }, turn("left", "Earlier", at - 1), `${at + 1} / ${all.length}`, turn("right", "Later", at + 1));
  }

  /** Puts a box in place of a user's message. */
  edit(done) {
    const area = el("textarea", { "aria-label": "Edit the message", rows: 1 });
    area.value = this.node.text;
    const close = () => {
      form.replaceWith(this.body);
      this.foot.hidden = false;
      $("input").focus();
    };
    const send = () => {
      const text = area.value.trim();
      close();
      if (text) done(text);
    };
    const act = (label, kind, onclick) => el("button", { type: "button", class: kind, onclick }, label);
    const form = el("div", { class: "editing" }, area, el("div", { class: "row" }, act("Cancel", "plain", close), act("Send", "full", send)));
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    area.addEventListener("input", () => fit(area, 0.6));
    this.body.replaceWith(form);
    this.foot.hidden = true;
    fit(area, 0.6);
    area.focus();
  }
}
