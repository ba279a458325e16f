// What a user of the official Node SDK writes; prints what came back as JSON.
import fs from "node:fs";
import OpenAI from "openai";

const [baseURL, apiKey, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const models = await client.models.list();
const variations = await client.images.createVariation({
  image: fs.createReadStream(picture),
  n: 2,
  size: "256x256",
  response_format: "b64_json",
});
const refusal = await client.images
  .createVariation({ image: fs.createReadStream(picture), n: 11 })
  .catch((error) => ({ name: error.constructor.name, status: error.status, code: error.code, param: error.param }));
const pictures = variations.data.map((picture) => picture.b64_json);
console.log(JSON.stringify({ models: models.data.map((model) => model.id), pictures, refusal }));
