// What can be set: for a conversation, and for the page.

const PARAMS = [
  { name: "temperature", label: "Temperature", min: 0, max: 5, step: 0.05, hint: "0 takes the likeliest token each time" },
  { name: "top_p", label: "Top-p", min: 0, max: 1, step: 0.01, hint: "the likeliest tokens with this probability together" },
  { name: "top_k", label: "Top-k", min: 0, max: 1000000, step: 1, hint: "so many of the likeliest tokens; 0 for all" },
  { name: "min_p", label: "Min-p", min: 0, max: 1, step: 0.01, hint: "tokens at least so likely, beside the likeliest" },
  { name: "max_tokens", label: "Tokens of an answer", min: 1, max: 10000000, step: 1, default: "n_predict", hint: "at most" },
  { name: "seed", label: "Seed", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, hint: "the same request with the same seed has the same answer" },
  { name: "repeat_penalty", label: "Repetition penalty", min: 0.01, max: 10, step: 0.05, hint: "1 for none" },
  { name: "frequency_penalty", label: "Frequency penalty", min: -2, max: 2, step: 0.1, hint: "0 for none" },
  { name: "presence_penalty", label: "Presence penalty", min: -2, max: 2, step: 0.1, hint: "0 for none" },
];

/** Settings as this page would have made them. */
function cleanSettings(given) {
  const params = {};
  for (const { name, min, max } of PARAMS) {
    const value = given?.params?.[name];
    if (typeof value === "number" && value >= min && value <= max) params[name] = value;
  }
  const system = typeof given?.system === "string" ? given.system : "";
  const thinking = typeof given?.thinking === "boolean" ? given.thinking : null;
  return { params, system, thinking, model: typeof given?.model === "string" ? given.model : "" };
}

function read(name) {
  try {
    return JSON.parse(local.getItem(name));
  } catch {
    return null;
  }
}

/** What the next new conversation begins with. */
let lastSettings = cleanSettings(read("settings"));

function keepSettings(settings) {
  lastSettings = structuredClone(settings);
  local.setItem("settings", JSON.stringify(settings));
}

/** Shows `settings`, and calls `changed` when they are others. */
function showSettings(settings, props, changed) {
  const defaults = props?.default_generation_settings?.params ?? {};
  $("system").value = settings.system;
  $("system").oninput = () => {
    settings.system = $("system").value;
    changed();
  };
  const rows = PARAMS.map((param) => {
    const { name, label, min, max, step, hint } = param;
    const own = defaults[param.default ?? name];
    const input = el("input", { type: "number", inputmode: "decimal", min, max, step: "any", placeholder: own ?? (name === "seed" ? "random" : "no limit"), name, "data-step": step });
    input.value = settings.params[name] ?? "";
    const bad = el("em", { hidden: true }, `${min} to ${max}${step === 1 ? ", a whole number" : ""}`);
    input.addEventListener("input", () => {
      const value = input.valueAsNumber;
      const isGood = Number.isNaN(value) ? !input.validity.badInput : value >= min && value <= max && (step !== 1 || Number.isInteger(value));
      bad.hidden = isGood;
      input.setAttribute("aria-invalid", !isGood);
      if (!isGood) return;
      if (Number.isNaN(value)) delete settings.params[name];
      else settings.params[name] = value;
      changed();
    });
    return el("label", {}, el("span", {}, label, el("small", {}, hint), bad), input);
  });
  if (props?.chat_template?.includes("enable_thinking")) {
    const select = el("select", {}, ...["default", "on", "off"].map((text) => el("option", {}, text)));
    select.selectedIndex = [null, true, false].indexOf(settings.thinking);
    select.onchange = () => {
      settings.thinking = [null, true, false][select.selectedIndex];
      changed();
    };
    rows.unshift(el("label", {}, el("span", {}, "Reasoning", el("small", {}, "whether the model reasons before it answers")), select));
  }
  $("params").replaceChildren(...rows);
  $("reset").onclick = () => {
    Object.assign(settings, { params: {}, thinking: null });
    changed();
    showSettings(settings, props, changed);
  };
}

const THEMES = ["auto", "light", "dark"];

function useTheme(theme) {
  const names = { auto: "as the system's", light: "light", dark: "dark" };
  document.documentElement.dataset.theme = theme;
  $("theme").title = `Colours: ${names[theme]}`;
  $("theme").setAttribute("aria-label", `Colours: ${names[theme]}. Change them`);
  if (theme === "auto") local.removeItem("theme");
  else local.setItem("theme", theme);
}

useTheme(THEMES.includes(local.getItem("theme")) ? local.getItem("theme") : "auto");
$("theme").onclick = () => useTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % 3]);

/** Asks for a key; whether there is one now. */
function askForKey(why) {
  $("key-why").textContent = why;
  $("key-value").value = apiKey;
  $("key-keep").checked = local.getItem("key") !== null;
  $("key").returnValue = "";
  $("key").showModal();
  return new Promise((done) => {
    $("key").onclose = () => {
      const isGiven = $("key").returnValue === "ok";
      if (isGiven) useKey($("key-value").value.trim(), $("key-keep").checked);
      done(isGiven && apiKey !== "");
    };
  });
}

$("key-cancel").onclick = () => $("key").close("");
