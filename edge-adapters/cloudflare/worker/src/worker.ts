// What the platform calls.

import { WorkerEntrypoint } from "cloudflare:workers";
import type { Env } from "./env.ts";
import { serve } from "./line.ts";
import { site } from "./site.ts";

export { Audit } from "./audit.ts";
export { Gate } from "./gate.ts";
export { Shelf } from "./shelf.ts";

/** Reads the audit log: `/checkpoint`, `/tile/…`, as C2SP tlog-tiles has them. No client reaches this: whoever is to
 * read the log is given a service binding to it. */
export class Log extends WorkerEntrypoint<Env> {
  override async fetch(request: Request): Promise<Response> {
    const key = new URL(request.url).pathname.slice(1);
    const file = await this.env.AUDIT.getByName(site.config.origin).read(key);
    return file === undefined ? new Response(null, { status: 404 }) : new Response(file);
  }
}

export default {
  fetch: serve,
} satisfies ExportedHandler<Env>;
