// The server's interface. Addresses are relative: the page works below any path of a proxy.

/** Why a request was not answered, as a sentence. */
class Refused extends Error {
  constructor(message, status = 0, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

let apiKey = session.getItem("key") ?? local.getItem("key") ?? "";

function useKey(key, isKept) {
  apiKey = key;
  for (const [place, isHere] of [[session, key], [local, key && isKept]]) {
    if (isHere) place.setItem("key", key);
    else place.removeItem("key");
  }
}

async function ask(where, body, signal) {
  const headers = {};
  if (apiKey) headers.authorization = `Bearer ${apiKey}`;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    const method = body ? "POST" : "GET";
    response = await fetch(where, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  const message = said?.error?.message ?? (typeof said?.error === "string" ? said.error : "");
  throw new Refused(sentence(message || `The server has answered with status ${response.status}`), response.status, Number(response.headers.get("retry-after")) || 0);
}

/** With a capital at its beginning and a dot at its end. */
function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

const get = async (where) => (await ask(where)).json();

/** The values of a stream of events, up to its end. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      part = { done: true };
    }
    if (part.done) throw new Refused("The connection was lost before the answer ended.");
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const value = JSON.parse(data);
      if (value.error) throw new Refused(sentence(value.error.message ?? "The answer has failed"), value.error.code);
      yield value;
    }
  }
}

/** The request for an answer to these messages, and where it goes. */
function request(messages, settings, model, hasTemplate) {
  const body = { stream: true, stream_options: { include_usage: true }, ...settings.params };
  if (model) body.model = model;
  if (!hasTemplate) {
    // A model that knows no conversations goes on with a text.
    body.prompt = [settings.system, ...messages.map((message) => message.text)].filter(Boolean).join("");
    return ["v1/completions", body];
  }
  const said = messages.filter(({ role, text, reasoning }) => role === "user" || text || reasoning);
  body.messages = said.map(({ role, text, reasoning }) => ({ role, content: text, ...(reasoning ? { reasoning_content: reasoning } : {}) }));
  if (settings.system) body.messages.unshift({ role: "system", content: settings.system });
  if (typeof settings.thinking === "boolean") body.chat_template_kwargs = { enable_thinking: settings.thinking };
  return ["v1/chat/completions", body];
}

/** Fills `node` with the answer as it comes; `grown` is called after each part. */
async function answer(node, [where, body], signal, grown) {
  const start = performance.now();
  const since = () => (performance.now() - start) / 1000;
  const stats = {};
  const response = await ask(where, body, signal);
  for await (const { choices, timings, usage } of events(response)) {
    const choice = choices?.[0];
    const text = choice?.delta?.content ?? choice?.text ?? "";
    const reasoning = choice?.delta?.reasoning_content ?? "";
    if ((text || reasoning) && stats.first === undefined) stats.first = since();
    if (text && node.reasoning && stats.thought === undefined) stats.thought = since() - stats.first;
    if (reasoning) node.reasoning = (node.reasoning ?? "") + reasoning;
    node.text += text;
    if (choice?.finish_reason) node.finish = choice.finish_reason;
    if (timings) Object.assign(stats, { rate: timings.predicted_per_second, tokens: timings.predicted_n, cached: timings.cache_n });
    if (usage) Object.assign(stats, { prompt: usage.prompt_tokens, tokens: usage.completion_tokens, cached: usage.prompt_tokens_details?.cached_tokens ?? 0 });
    // Some answers end without timings.
    if (usage && stats.rate === undefined && since() > stats.first) stats.rate = (stats.tokens - 1) / (since() - stats.first);
    node.stats = stats;
    grown();
  }
}
