// Makes dist/worker.js of src: one module. What each bundle brings (`./bundle.js`) stays an import.
import { build } from "esbuild";

await build({
  entryPoints: ["src/worker.ts"],
  outfile: "dist/worker.js",
  bundle: true,
  format: "esm",
  target: "es2023",
  charset: "utf8",
  legalComments: "none",
  external: ["./bundle.js", "cloudflare:workers", "node:crypto"],
});
