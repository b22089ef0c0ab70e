// llama.cpp, through node-llama-cpp, as a small OpenAI-compatible server: what `bitcpm bench serve`
// is tried on beside our own. Usage: node server.mjs MODEL.gguf PORT
import http from "node:http";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, port] = process.argv.slice(2);
const SEQUENCES = 4;
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath});
// One thread: llama.cpp's threads spin while they wait for each other, and by default there are more
// of them than a small machine has cores; then every token waits for the kernel's scheduler.
const context = await model.createContext({sequences: SEQUENCES, contextSize: 512, threads: 1});

// Places for requests; the others wait their turn.
const free = Array.from({length: SEQUENCES}, () => context.getSequence());
const waiting = [];
const take = () => free.length > 0 ? free.pop() : new Promise((resolve) => waiting.push(resolve));
const give = (sequence) => waiting.length > 0 ? waiting.shift()(sequence) : free.push(sequence);

async function complete(body, response) {
  const sequence = await take();
  try {
    await sequence.clearHistory();
    const tokens = [model.tokens.bos, ...model.tokenize(body.prompt)];
    const send = (event) => response.write(`data: ${JSON.stringify(event)}\n\n`);
    const options = {temperature: 0, yieldEogToken: body.ignore_eos === true};
    let made = 0;
    for await (const token of sequence.evaluate(tokens, options)) {
      send({choices: [{index: 0, text: model.detokenize([token]), finish_reason: null}]});
      if (++made >= body.max_tokens) break;
    }
    send({choices: [], usage: {prompt_tokens: tokens.length, completion_tokens: made}});
    response.end("data: [DONE]\n\n");
  } finally {
    give(sequence);
  }
}

const server = http.createServer((request, response) => {
  if (request.method === "GET") {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({object: "list", data: [{id: "llama.cpp", object: "model"}]}));
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    response.writeHead(200, {"Content-Type": "text/event-stream"});
    complete(JSON.parse(Buffer.concat(parts).toString("utf8")), response).catch((error) => {
      response.end(`data: ${JSON.stringify({error: {message: String(error)}})}\n\n`);
    });
  });
});
server.listen(Number(port), "127.0.0.1", () => console.log("ready"));
