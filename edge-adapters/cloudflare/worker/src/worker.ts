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

/** A request that has this header is answered with the version's id in the same one. Deployers ask, because the platform
 * sends a request to another version where it does not know the named one yet. */
const WHICH = "tollgate-version";

async function answer(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
  const response = await serve(request, env, context);
  if (env.VERSION === undefined || !request.headers.has(WHICH)) return response;
  const marked = new Response(response.body, response);
  marked.headers.set(WHICH, env.VERSION.id);
  return marked;
}

export default {
  fetch: answer,
} satisfies ExportedHandler<Env>;
