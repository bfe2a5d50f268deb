// Derives JavaScript and core modules from one component: `node transpile.mjs COMPONENT NAME DIRECTORY CALLS`. CALLS is
// JSON: the imports that may suspend (`imports`) and the exports that wait for them (`exports`).

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { argv } from "node:process";
import { transpileBytes } from "@bytecodealliance/jco-transpile";

const [component, name, directory, calls] = argv.slice(2);
const { imports, exports } = JSON.parse(calls);
const { files } = await transpileBytes(new Uint8Array(await readFile(component)), {
  name,
  // The platform compiles modules when they are uploaded, and not when a request comes.
  instantiation: "sync",
  base64Cutoff: 0,
  nodejsCompat: false,
  // An error that a component returns can be told from a trap.
  noComponentErrorWrapping: false,
  emitTypescriptDeclarations: false,
  wasiShim: false,
  ...(exports.length > 0 ? { asyncMode: "jspi", asyncImports: imports, asyncExports: exports } : {}),
});

// The glue brings small modules of its own, as bytes. The platform takes no bytes for a module: they become files.
const glue = `${name}.js`;
const found = [];
let text = new TextDecoder().decode(files[glue]).replace(
  /new WebAssembly\.Module\(new Uint8Array\(\[([\s\da-fx,]*)\]\)\)/g,
  (_, bytes) => {
    found.push(Uint8Array.from(bytes.split(",").filter((byte) => byte.trim() !== ""), Number));
    return `getCoreModule('${name}.glue${found.length}.wasm')`;
  },
);
if (/WebAssembly\.(Module\(|compile)/.test(text)) throw new Error("the glue of this component compiles modules");
// A trap after the answer's head is nobody's rejection: whoever makes an instance wants to know of it.
text = text.replaceAll("WebAssembly.promising(", "instantiateCore.promising(");
// Where the glue and the server's engine ask a guest for different work, the glue does as the engine, so that a request
// takes the same fuel: an empty text is room of no bytes, and a future is read as soon as anybody waits for it.
for (const [theirs, ours] of [
  ["if (s.length === 0) { return { ptr: 1, len: 0 }; }", ""],
  ["Promise.resolve().then(this.#start)", "this.#start()"],
]) {
  const parts = text.split(theirs);
  if (parts.length > 2) throw new Error(`the glue of this component has \`${theirs}\` more than once`);
  text = parts.join(ours);
}
files[glue] = new TextEncoder().encode(text);
for (const [place, bytes] of found.entries()) files[`${name}.glue${place + 1}.wasm`] = bytes;

for (const [path, bytes] of Object.entries(files)) {
  const to = join(directory, path);
  await mkdir(dirname(to), { recursive: true });
  await writeFile(to, bytes);
}
