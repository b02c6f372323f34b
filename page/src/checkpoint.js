// Reads the file NAME_actor that TD3.save() wrote: a PyTorch checkpoint, which is a zip archive with a pickle and raw numbers.
//
// The pickle is a program for a small stack machine. Only the instructions and the names that a dict of float32 tensors needs
// are known here, so no file can make the page do anything but read numbers.

import { isExport, Policy, readExport } from "./policy.js";

/**
 * A policy from the bytes of an export or of a checkpoint.
 * @param {ArrayBuffer} buffer
 * @returns {Policy}
 * @throws {Error} with one sentence, if it is neither
 */
export function readPolicy(buffer) {
  if (isExport(buffer)) return readExport(buffer);
  let tensors;
  try {
    tensors = readCheckpoint(buffer);
  } catch (error) {
    const reason = error instanceof Malformed ? error.message : "it ends too soon or is damaged";
    throw new Error(
      `This file is not a saved policy (${reason}): expected a file NAME_actor that TD3.save() wrote, or an export.`,
    );
  }
  const names = [...tensors.keys()].sort().join(", ");
  if (names !== "l1.bias, l1.weight, l2.bias, l2.weight, l3.bias, l3.weight") {
    throw new Error(`This file has the layers ${names.slice(0, 80) || "of no network"}: expected those of an actor, l1 to l3.`);
  }
  const layer = (name) => ({ weight: tensors.get(`${name}.weight`), bias: tensors.get(`${name}.bias`) });
  return new Policy({ l1: layer("l1"), l2: layer("l2"), l3: layer("l3") });
}

class Malformed extends Error {}

function demand(right, reason) {
  if (!right) throw new Malformed(reason);
}

/** The tensors of a checkpoint: a Map of names to Float32Arrays. */
function readCheckpoint(buffer) {
  const files = readZip(buffer);
  const file = (name) => {
    const found = [...files].filter(([path]) => path.endsWith(`/${name}`));
    demand(found.length === 1, `there is no ${name} in it`);
    return found[0][1];
  };
  const storages = (key, count) => {
    const bytes = file(`data/${key}`);
    demand(bytes.length === 4 * count, `its storage ${key} has another size than it says`);
    return new Float32Array(bytes.slice().buffer);
  };
  const result = unpickle(file("data.pkl"), storages);
  demand(result instanceof Map, "it holds no dict");
  for (const [name, tensor] of result) {
    demand(typeof name === "string" && tensor instanceof Float32Array, "it holds something else than tensors");
  }
  return result;
}

/** The files of a zip archive without compression: a Map of paths to bytes. */
function readZip(buffer) {
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  let end = buffer.byteLength - 22; // the end record, which a comment of up to 65,535 bytes may follow
  const last = Math.max(0, end - 0xffff);
  while (end >= last && view.getUint32(end, true) !== 0x06054b50) end--;
  demand(end >= last, "it is not a zip archive");
  let entry = view.getUint32(end + 16, true);
  const files = new Map();
  for (let i = view.getUint16(end + 10, true); i > 0; i--) {
    demand(view.getUint32(entry, true) === 0x02014b50, "its table of files is damaged");
    demand(view.getUint16(entry + 10, true) === 0, "it is compressed");
    const size = view.getUint32(entry + 24, true);
    const [name, extra, comment] = [28, 30, 32].map((field) => view.getUint16(entry + field, true));
    const header = view.getUint32(entry + 42, true);
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
    demand(start + size <= buffer.byteLength, "it ends too soon");
    files.set(new TextDecoder().decode(bytes.subarray(entry + 46, entry + 46 + name)), bytes.subarray(start, start + size));
    entry += 46 + name + extra + comment;
  }
  return files;
}

const MARK = Symbol("mark");

/** Runs a pickle of protocol 2 that makes a dict of tensors. `storages(key, count)` gives the numbers of a storage. */
function unpickle(bytes, storages) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const memo = new Map();
  const stack = [];
  let at = 0;
  const take = (count) => {
    at += count;
    return at - count;
  };
  const text = (count) => new TextDecoder().decode(bytes.subarray(take(count), at));
  const line = () => {
    const end = bytes.indexOf(10, at);
    demand(end >= 0, "its pickle ends too soon");
    const read = text(end - at);
    at++;
    return read;
  };
  const sinceMark = () => {
    const mark = stack.lastIndexOf(MARK);
    demand(mark >= 0, "its pickle is damaged");
    return stack.splice(mark).slice(1);
  };
  const setItems = (items) => {
    const target = stack.at(-1);
    demand(target instanceof Map, "it holds something else than a dict");
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  };
  const functions = {
    "collections OrderedDict": () => new Map(),
    "torch._utils _rebuild_tensor_v2": (storage, offset, size, stride) => {
      const count = size.reduce((product, n) => product * n, 1);
      let expected = 1; // of the last dimension, if the numbers lie row by row
      const byRow = [...size.keys()].reverse().every((i) => {
        const right = stride[i] === expected;
        expected *= size[i];
        return right;
      });
      demand(byRow && offset + count <= storage.length, "its tensors are laid out in another way");
      return storage.slice(offset, offset + count);
    },
  };
  const instructions = {
    0x80: () => demand(view.getUint8(take(1)) === 2, "its pickle has another version"),
    0x28: () => stack.push(MARK),
    0x29: () => stack.push([]), // ()
    0x7d: () => stack.push(new Map()), // {}
    0x85: () => stack.push(stack.splice(-1)), // tuples of one, two and three
    0x86: () => stack.push(stack.splice(-2)),
    0x87: () => stack.push(stack.splice(-3)),
    0x74: () => stack.push(sinceMark()), // a tuple
    0x4e: () => stack.push(null),
    0x88: () => stack.push(true),
    0x89: () => stack.push(false),
    0x4b: () => stack.push(view.getUint8(take(1))),
    0x4d: () => stack.push(view.getUint16(take(2), true)),
    0x4a: () => stack.push(view.getInt32(take(4), true)),
    0x58: () => stack.push(text(view.getUint32(take(4), true))),
    0x71: () => memo.set(view.getUint8(take(1)), stack.at(-1)),
    0x72: () => memo.set(view.getUint32(take(4), true), stack.at(-1)),
    0x68: () => stack.push(memo.get(view.getUint8(take(1)))),
    0x6a: () => stack.push(memo.get(view.getUint32(take(4), true))),
    0x63: () => stack.push({ global: `${line()} ${line()}` }),
    0x51: () => {
      const [kind, type, key, , count] = stack.pop();
      demand(kind === "storage" && type?.global === "torch FloatStorage", "its numbers are not float32");
      stack.push(storages(key, count));
    },
    0x52: () => {
      const given = stack.pop();
      const { global } = stack.pop();
      demand(Object.hasOwn(functions, global), `it asks for '${String(global).slice(0, 40)}'`);
      stack.push(functions[global](...given));
    },
    0x73: () => setItems(stack.splice(-2)),
    0x75: () => setItems(sinceMark()),
    0x62: () => stack.pop(), // attributes of the dict, which PyTorch adds and nobody needs
  };
  for (;;) {
    const code = view.getUint8(take(1));
    if (code === 0x2e) return stack.pop();
    demand(Object.hasOwn(instructions, code), `its pickle has the instruction ${code}`);
    instructions[code]();
  }
}
