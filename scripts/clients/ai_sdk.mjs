// The Vercel AI SDK's client of OpenAI's interface: whole, as a stream, and stopped.
//
// usage: ai_sdk.mjs KEY URL

import assert from "node:assert";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const [apiKey, url] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: "llm_rs2", baseURL: `${url}/v1`, apiKey, includeUsage: true });
const asked = { model: provider("demo"), prompt: "Once upon a time", maxOutputTokens: 12, temperature: 0, seed: 1 };

const whole = await generateText(asked);
assert.equal(whole.usage.outputTokens, 12);
const stream = streamText(asked);
let text = "", parts = 0;
for await (const part of stream.textStream) {
  text += part;
  parts++;
}
assert.equal(text, whole.text);
assert.equal((await stream.usage).outputTokens, 12);
assert.equal(await stream.finishReason, "length");
const wrong = createOpenAICompatible({ name: "llm_rs2", baseURL: `${url}/v1`, apiKey: "wrong" });
await assert.rejects(generateText({ ...asked, model: wrong("demo"), maxRetries: 0 }), /key is missing or wrong/);
console.log(`Vercel AI SDK: ${JSON.stringify(text)}, in ${parts} parts`);
