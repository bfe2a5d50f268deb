// Makes dist/component.wasm: `npm ci && npm run build`. `cargo xtask guests` does the same in a copy of this folder.
import { componentize } from "@bytecodealliance/componentize-js";
import { mkdir, writeFile } from "node:fs/promises";

const { component } = await componentize({ sourcePath: "app.js", witPath: "wit", worldName: "app" });
await mkdir("dist", { recursive: true });
await writeFile("dist/component.wasm", component);
