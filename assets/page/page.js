// The chat page: talks to this server's /v1/models, /v1/chat/completions and /metrics, to nobody
// else. Whatever a model says is put into the page as text, never as markup.

import { words } from "./words.js";
import { watchMetrics } from "./metrics.js";
import { streamChat } from "./stream.js";

const at = (id) => document.getElementById(id);
const numbers = ["temperature", "top_p", "max_tokens", "seed"];

const state = {
  language: recall(localStorage, "language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"),
  conversation: [], // {role, content} as sent
  model: null,
  running: null, // AbortController of the answer being written
};

const say = () => words[state.language];

// Storage may be forbidden; the page then forgets, and works.
function recall(storage, name) {
  try {
    return storage.getItem(`bitcpm.${name}`);
  } catch {
    return null;
  }
}

function remember(storage, name, value) {
  try {
    storage.setItem(`bitcpm.${name}`, value);
  } catch {
    /* forgets */
  }
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(text, action) {
  const made = element("button", "quiet", text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

const headers = () => (at("key").value ? { Authorization: `Bearer ${at("key").value}` } : {});

// Language and theme

function showLanguage() {
  const said = say();
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  for (const item of document.querySelectorAll("[data-text]"))
    item.textContent = said[item.dataset.text];
  for (const item of document.querySelectorAll("[data-placeholder]"))
    item.placeholder = said[item.dataset.placeholder];
  for (const item of document.querySelectorAll("[data-label]"))
    item.ariaLabel = said[item.dataset.label];
  for (const item of document.querySelectorAll("[data-title]"))
    item.title = item.ariaLabel = said[item.dataset.title];
  at("examples").replaceChildren(
    ...said.examples.map((text) => {
      const example = button(text, () => ask(text));
      example.className = "";
      return example;
    }),
  );
  showModel();
}

function switchTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  remember(localStorage, "theme", root.dataset.theme);
}

// The model

function showModel() {
  if (!state.model) return;
  at("model").textContent = document.title = state.model.id;
  at("facts").textContent = say().facts(state.model.max_model_len, state.model.numerics);
}

async function loadModel() {
  try {
    const answer = await fetch("/v1/models", { headers: headers() });
    if (answer.status === 401) return askForKey();
    state.model = (await answer.json()).data[0];
    showModel();
  } catch {
    /* the first question will say it */
  }
}

function askForKey() {
  showSettings(true);
  at("key").placeholder = say().keyNeeded;
  at("key").focus();
}

// Messages

function addMessage(role, text) {
  const message = element("article", `message ${role}`);
  message.ariaLabel = role === "user" ? say().you : say().model;
  const body = element("div", "body");
  message.append(body);
  at("messages").append(message);
  at("welcome").hidden = true;
  showText(body, text);
  return message;
}

// Text, with fenced code in boxes. An open fence counts as closed at the end, so a stream may stop
// anywhere.
function showText(body, text) {
  const parts = text.split(/^```.*$\n?/m);
  body.replaceChildren(
    ...parts.flatMap((part, i) => {
      if (i % 2 === 1) return [element("pre", "", part)];
      return part.trim() || parts.length === 1
        ? [element("div", "text", parts.length > 1 ? part.trim() : part)]
        : [];
    }),
  );
}

// Follows the end of the log unless its reader has scrolled away.
function followed(change) {
  const log = at("log");
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  change();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function showEnd(message, result) {
  const below = element("div", "below");
  const said = say();
  const notes = [];
  if (result.tokens > 0) {
    const seconds = (result.lastAt - result.firstAt) / 1000;
    const rate =
      result.tokens > 1 && seconds > 0 ? ((result.tokens - 1) / seconds).toFixed(1) : "-";
    notes.push(said.counts(result.tokens, rate, Math.round(result.firstAt - result.beganAt)));
  }
  if (result.stopped) notes.push(said.stopped);
  if (result.finishReason === "length") notes.push(said.cut);
  below.append(element("span", "", notes.join(" · ")));
  if (result.text) {
    const copy = button(said.copy, async () => {
      try {
        await navigator.clipboard.writeText(result.text);
        copy.textContent = say().copied;
      } catch {
        /* not over plain http from elsewhere */
      }
    });
    below.append(copy);
  }
  below.append(button(said.again, () => answerAgain(message)));
  message.append(below);
}

function showError(message, error) {
  const text =
    error.status === 401
      ? say().keyNeeded
      : error.status === 0
        ? say()[error.message]
        : error.message;
  const box = element("div", "error", text);
  box.role = "alert";
  message.append(box);
  if (error.status === 401) askForKey();
}

// Asking

function parameters() {
  const given = {};
  for (const name of numbers) {
    const input = at(name);
    if (input.value !== "" && input.validity.valid) given[name] = Number(input.value);
  }
  return given;
}

function ask(text) {
  if (state.running || !text.trim()) return;
  state.conversation.push({ role: "user", content: text });
  followed(() => addMessage("user", text));
  at("prompt").value = "";
  grow();
  answer();
}

function answerAgain(message) {
  if (state.running) return;
  const index = [...at("messages").children].indexOf(message);
  state.conversation.length = index;
  while (at("messages").children.length > index) at("messages").lastChild.remove();
  answer();
}

async function answer() {
  const { conversation } = state; // which a new chat replaces
  const system = at("system").value.trim();
  const message = addMessage("assistant", "");
  const body = message.firstChild;
  const controller = new AbortController();
  let frame = 0;
  setRunning(controller);
  message.classList.add("running");
  const request = {
    ...(state.model ? { model: state.model.id } : {}),
    messages: [
      ...(system ? [{ role: "system", content: system }] : []),
      ...conversation.filter(({ content }) => content),
    ],
    ...parameters(),
  };
  const result = await streamChat(request, headers(), controller.signal, (text) => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => followed(() => showText(body, text)));
  });
  cancelAnimationFrame(frame);
  message.classList.remove("running");
  conversation.push({ role: "assistant", content: result.text });
  followed(() => {
    showText(body, result.text);
    if (result.error) showError(message, result.error);
    showEnd(message, result);
  });
  setRunning(null);
}

function setRunning(controller) {
  state.running = controller;
  at("stop").hidden = controller === null;
  at("send").hidden = controller !== null;
  at("messages").ariaBusy = String(controller !== null);
  if (controller === null && document.activeElement === document.body) at("prompt").focus();
}

function startAnew() {
  state.running?.abort();
  state.conversation = [];
  at("messages").replaceChildren();
  at("welcome").hidden = false;
  at("prompt").focus();
}

// Controls

function grow() {
  const prompt = at("prompt");
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
  at("send").disabled = !prompt.value.trim();
}

function showSettings(shown) {
  at("settings").hidden = !shown;
  at("toggle").ariaExpanded = String(shown);
}

function onKey(event) {
  if (event.key === "Escape" && state.running) state.running.abort();
  if (event.altKey && event.code === "KeyN") startAnew();
}

function onPromptKey(event) {
  // isComposing: the Enter that ends a Chinese input method's choice sends nothing.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask(at("prompt").value);
}

function listen() {
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(at("prompt").value);
  });
  at("settings").addEventListener("submit", (event) => event.preventDefault());
  at("prompt").addEventListener("keydown", onPromptKey);
  at("prompt").addEventListener("input", grow);
  at("stop").addEventListener("click", () => state.running?.abort());
  at("new").addEventListener("click", startAnew);
  at("theme").addEventListener("click", switchTheme);
  at("toggle").addEventListener("click", () => showSettings(at("settings").hidden));
  at("key").addEventListener("change", () => {
    remember(sessionStorage, "key", at("key").value);
    loadModel();
  });
  at("language").addEventListener("click", () => {
    state.language = state.language === "zh" ? "en" : "zh";
    remember(localStorage, "language", state.language);
    showLanguage();
  });
  document.addEventListener("keydown", onKey);
}

function showMetrics(now) {
  at("strip").hidden = now === null;
  if (now === null) return;
  at("speed").textContent = now.tokensPerSecond.toFixed(now.tokensPerSecond < 100 ? 1 : 0);
  at("kv").textContent = `${(100 * now.kvUsage).toFixed(1)} %`;
  at("kv-bar").value = now.kvUsage;
  at("load").textContent = say().loadValue(now.running, now.waiting);
  const most = Math.max(1, ...now.history);
  const points = now.history.map(
    (value, i) => `${60 - now.history.length + i + 1},${(19 - (18 * value) / most).toFixed(1)}`,
  );
  at("spark").firstElementChild.setAttribute("points", points.join(" "));
}

const theme = recall(localStorage, "theme");
if (theme) document.documentElement.dataset.theme = theme;
at("key").value = recall(sessionStorage, "key") ?? "";
listen();
showLanguage();
loadModel();
watchMetrics(headers, showMetrics);
