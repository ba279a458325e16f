// Writes a ZIP without compression, as pictures are compressed already. Format: PKWARE APPNOTE 6.3.10, 4.3.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 0xff] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

/** Little-endian fields: each is [bytes, value]. */
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [width]) => sum + width, 0)));
  let at = 0;
  for (const [width, value] of fields) {
    if (width === 4) view.setUint32(at, value, true);
    else view.setUint16(at, value, true);
    at += width;
  }
  return new Uint8Array(view.buffer);
}

function stamp(date) {
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  return [[2, time], [2, day]];
}

/** Returns a Blob of `[{name, blob}]`; equal names get a number. */
export async function zip(entries, date = new Date()) {
  const parts = [];
  const directory = [];
  const taken = new Set();
  let offset = 0;
  for (const { name, blob } of entries) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const encoded = new TextEncoder().encode(unique(name, taken));
    const common = [[2, 20], [2, 0x0800], [2, 0], ...stamp(date), [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, encoded.length], [2, 0]];
    const local = record([4, 0x04034b50], ...common);
    directory.push(record([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), encoded);
    parts.push(local, encoded, bytes);
    offset += local.length + encoded.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const count = entries.length;
  const end = record([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function unique(name, taken) {
  let candidate = name;
  for (let number = 2; taken.has(candidate); number += 1) candidate = name.replace(/(\.[^.]*)?$/, `-${number}$1`);
  taken.add(candidate);
  return candidate;
}
