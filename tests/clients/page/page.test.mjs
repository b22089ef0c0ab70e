// The chat page in headless Chromium (playwright-core drives Debian's), as a person would use it.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { chromium } from "playwright-core";

const root = (process.env.BITCPM_BASE_URL ?? "http://127.0.0.1:8000/v1").replace(/\/v1$/, "");
const executablePath = process.env.BITCPM_CHROMIUM ?? "/usr/bin/chromium";
const pictures = process.env.BITCPM_PICTURES; // a folder: what the page looks like, for a person

let browser;
let context;
let page;
let complaints; // of the policy, of scripts
let asked; // every address that the browser asked

before(async () => {
  assert.ok(existsSync(executablePath), `${executablePath} is missing: apt-get install chromium`);
  // Root may not use Chromium's own sandbox; the pages are ours.
  browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
});
after(() => browser?.close());

async function open(options = {}) {
  await context?.close();
  context = await browser.newContext({
    locale: "en-US",
    viewport: { width: 1180, height: 760 },
    ...options,
  });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("console", (message) => {
    // A server without /metrics answers 404, which Chromium logs by itself.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
      complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      globalThis.violations.push(event.blockedURI),
    );
  });
  await page.goto(root + "/");
  await page.waitForFunction(() => document.title !== "bitcpm"); // the model's name has arrived
}

beforeEach(async () => {
  complaints = [];
  asked = [];
  await open();
});

// No test may end with a complaint, a violation of the policy or a request to anyone else.
afterEach(async () => {
  const violations = await page.evaluate(() => globalThis.violations);
  await context.close();
  assert.deepEqual(complaints, []);
  assert.deepEqual(violations, []);
  for (const url of asked) assert.ok(url.startsWith(root + "/"), url);
});

const answers = () => page.locator(".assistant");
const lastText = async () => (await answers().last().locator(".text").allTextContents()).join("");
const done = () => page.locator("#send").waitFor({ state: "visible" });

async function ask(text, parameters = {}) {
  await page.locator("#toggle").click();
  for (const [name, value] of Object.entries({ temperature: 0, ...parameters }))
    await page.fill(`#${name}`, String(value));
  await page.locator("#toggle").click();
  await page.fill("#prompt", text);
  await page.keyboard.press("Enter");
}

async function picture(name) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
}

// The model's part is played by the test, event by event.
async function play(chunks, status = 200) {
  await page.route("**/v1/chat/completions", (route) =>
    route.fulfill({
      status,
      contentType: status === 200 ? "text/event-stream" : "application/json",
      body:
        status === 200
          ? [
              ...chunks.map((content) => ({
                choices: [{ index: 0, delta: { content }, finish_reason: null }],
              })),
              {
                choices: [{ index: 0, delta: {}, finish_reason: "stop" }],
                usage: { completion_tokens: chunks.length },
              },
            ]
              .map((event) => `data: ${JSON.stringify(event)}\n\n`)
              .join("") + "data: [DONE]\n\n"
          : JSON.stringify(chunks),
    }),
  );
}

for (const [locale, question, word, heading] of [
  ["en-US", "What is the capital of France?", "Paris", "What would you like to know?"],
  ["zh-CN", "中国的首都是哪里?", "北京", "想了解点什么？"],
]) {
  test(`an answer arrives, ${locale}`, async () => {
    await open({ locale });
    assert.equal(await page.locator("#welcome h2").textContent(), heading);
    await picture(`welcome-${locale}`);
    await ask(question);
    await done();
    assert.ok((await lastText()).includes(word), await lastText());
    assert.match(await answers().last().locator(".below span").textContent(), /\d/);
    await picture(`answer-${locale}`);
  });
}

test("the language can be changed, and is remembered", async () => {
  await page.locator("#language").click();
  assert.equal(await page.locator("#new").textContent(), "新对话");
  assert.equal(await page.getAttribute("html", "lang"), "zh-CN");
  await page.reload();
  assert.equal(await page.locator("#new").textContent(), "新对话");
});

test("an example is one click", async () => {
  await page.locator("#examples button").first().click();
  await done();
  assert.ok((await lastText()).length > 10);
});

test("text appears while it is made, and stop stops", async () => {
  await ask("Tell me a story.", { max_tokens: 2000, temperature: 2 });
  await page.waitForFunction(
    () => document.querySelector(".assistant .text")?.textContent.length > 0,
  );
  await page.keyboard.press("Escape");
  await done();
  const text = await lastText();
  await page.waitForTimeout(300);
  assert.equal(await lastText(), text);
  // The server notices: nothing goes on being computed.
  await page.fill("#prompt", "Who are you?");
  await page.keyboard.press("Enter");
  await done();
  assert.equal(await answers().count(), 2);
});

test("the stop button cuts an answer that would go on", async () => {
  await page.route("**/v1/chat/completions", () => {}); // never answered
  await ask("Hello");
  await page.locator("#stop").click();
  await done();
  assert.match(await answers().last().locator(".below").textContent(), /stopped/);
});

test("markup in an answer stays inert", async () => {
  const hostile = [
    "<img src=x onerror=alert(1)>",
    "<script>globalThis.owned = 1</script>",
    "<b>bold</b>",
    "\n```html\n<iframe src=//example.com></iframe>\n```\n",
    "[x](javascript:alert(1))",
    "<svg onload=alert(1)>",
  ];
  await play(hostile);
  await ask("<h1>mine too</h1>");
  await done();
  const body = answers().last().locator(".body");
  assert.equal(await page.evaluate(() => globalThis.owned), undefined);
  assert.equal(await page.locator("#messages :is(img, script, b, iframe, a, svg, h1)").count(), 0);
  const text = await body.textContent();
  for (const part of [
    "onerror=alert(1)>",
    "<script>globalThis.owned",
    "<b>bold</b>",
    "<iframe src=//example.com>",
    "<svg onload",
  ]) {
    assert.ok(text.includes(part), part);
  }
  assert.equal(await body.locator("pre").count(), 1);
  await picture("inert");
});

test("parameters reach the server; a seed repeats an answer", async () => {
  let sent;
  page.on("request", (request) => {
    if (request.method() === "POST") sent = request.postDataJSON();
  });
  const texts = [];
  for (let i = 0; i < 2; ++i) {
    await ask("Why is the moon so far away?", {
      temperature: 1.5,
      top_p: 0.9,
      max_tokens: 20,
      seed: 5,
    });
    await done();
    texts.push(await lastText());
    await page.locator("#new").click();
  }
  assert.equal(texts[0], texts[1]);
  assert.deepEqual(
    [sent.temperature, sent.top_p, sent.max_tokens, sent.seed, sent.stream],
    [1.5, 0.9, 20, 5, true],
  );
  assert.equal(await answers().count(), 0); // a new chat is empty
});

test("a conversation is sent whole; an answer can be had again", async () => {
  const sent = [];
  page.on("request", (request) => {
    if (request.method() === "POST") sent.push(request.postDataJSON().messages);
  });
  await ask("Who are you?");
  await done();
  await ask("And who am I?");
  await done();
  assert.deepEqual(
    sent[1].map((message) => message.role),
    ["user", "assistant", "user"],
  );
  await answers().last().getByText("Again").click();
  await done();
  assert.deepEqual(sent[2], sent[1]);
  assert.equal(await answers().count(), 2);
});

test("an error of the server's is shown as it is", async () => {
  await ask("Hello", { max_tokens: 1_000_000 });
  await page.locator(".error").waitFor();
  assert.match(await page.locator(".error").textContent(), /max_tokens|context/);
  await picture("error");
});

test("a key is asked for and then sent", async () => {
  const keys = [];
  await page.route("**/v1/chat/completions", (route) => {
    keys.push(route.request().headers().authorization);
    return route.fulfill({
      status: 401,
      contentType: "application/json",
      body: '{"error":"Unauthorized"}',
    });
  });
  await ask("Hello");
  await page.locator(".error").waitFor();
  assert.match(await page.locator(".error").textContent(), /API key/);
  assert.ok(await page.locator("#key").evaluate((input) => input === document.activeElement));
  await page.fill("#key", "secret");
  await page.locator("#key").press("Tab");
  await page.fill("#prompt", "Hello");
  await page.locator("#prompt").press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".error").length === 2);
  assert.deepEqual(keys, [undefined, "Bearer secret"]);
});

test("keyboard: Shift+Enter and an input method's Enter send nothing", async () => {
  await page.locator("#prompt").pressSequentially("one");
  await page.keyboard.press("Shift+Enter");
  await page.locator("#prompt").pressSequentially("two");
  assert.equal(await page.inputValue("#prompt"), "one\ntwo");
  await page.locator("#prompt").dispatchEvent("keydown", { key: "Enter", isComposing: true });
  assert.equal(await answers().count(), 0);
  await page.keyboard.press("Alt+n");
  assert.equal(await page.locator("#welcome").isVisible(), true);
});

test("the strip shows the server's own figures, if it has any", async () => {
  const metrics = await fetch(`${root}/metrics`);
  await page.waitForTimeout(1500);
  assert.equal(await page.locator("#strip").isVisible(), metrics.status === 200);
  if (metrics.status !== 200) return;
  await ask("Tell me a story.", { max_tokens: 1500, temperature: 2 });
  await page.waitForFunction(() => Number(document.querySelector("#speed").textContent) > 0);
  await picture("strip");
});

test("dark, and small", async () => {
  await open({ colorScheme: "dark" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.locator("#toggle").click();
  await picture("dark");
  await page.locator("#theme").click();
  assert.notEqual(await ground(), dark);
  await open({ colorScheme: "dark", viewport: { width: 380, height: 700 }, locale: "zh-CN" });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
  await ask("你是谁?");
  await done();
  await picture("small");
});
