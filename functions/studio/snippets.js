// The calls that do the same as the page, for those who build with it. The key is never in them.

import { BASE, LARGE_BYTES } from "./api.js";

const NATIVE = new Set(["n", "size", "model"]); // what the OpenAI SDK's own method takes; the rest goes beside
const base = () => BASE.href.replace(/\/$/, "");
const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

/** What to say above a call whose picture it cannot carry. */
const caution = ({ size }) => (size > LARGE_BYTES ? ["# This picture is too large for one request: make it smaller, or ask POST /uploads for a form."] : []);

export function curlCall(choices, file) {
  const fields = Object.entries(choices).map(([name, value]) => `  --form-string ${quoted(`${name}=${value}`)}`);
  return [
    ...caution(file),
    `curl ${quoted(`${base()}/images/variations`)} \\`,
    `  -H "Authorization: Bearer $STUDIO_KEY" \\`,
    [`  -F ${quoted(`image=@"${file.name.replace(/[\\"]/g, "\\$&")}"`)}`, ...fields].join(" \\\n"),
  ].join("\n");
}

export function pythonCall(choices, file) {
  const literal = (name, value) => (name === "n" ? Number(value) : JSON.stringify(value));
  const own = Object.entries(choices).filter(([name]) => NATIVE.has(name)).map(([name, value]) => `    ${name}=${literal(name, value)},`);
  const rest = Object.entries(choices).filter(([name]) => !NATIVE.has(name));
  const beside = rest.length ? [`    extra_body=${JSON.stringify(Object.fromEntries(rest))},`] : [];
  return [
    ...caution(file),
    "import os",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(base())}, api_key=os.environ["STUDIO_KEY"], max_retries=5)`,
    "answer = client.images.create_variation(",
    `    image=open(${JSON.stringify(file.name)}, "rb"),`,
    ...own,
    ...beside,
    ")",
    "print([picture.url for picture in answer.data])",
  ].join("\n");
}
