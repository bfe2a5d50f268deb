// An app that is an origin behind the gate: what was let in is passed on, and what comes back streams.

import { uriOf } from "../facts.ts";
import type { App } from "../site.ts";
import { BodyTooLarge, countedBody, Failed, type Job, type Run } from "./work.ts";

/** Where an app's requests go, if it is no component. */
export function originOf(app: App): URL | undefined {
  return app.origin === null ? undefined : new URL(app.origin);
}

/** Passes a request on. The path and query are those that the gate saw, and the host is the origin's. */
export function runOrigin(job: Job, origin: URL): Run {
  const abort = new AbortController();
  const run: Run = {
    head: new Promise(() => undefined),
    over: Promise.resolve(),
    encodeBody: "automatic",
    bytesIn: 0,
    bytesOut: 0,
    outgoing: 1,
    logLines: 0,
    crossed: () => undefined,
    taken: () => ({ fuel: 0n, gas: 0n, hostCalls: 0, memoryBytes: 0 }),
    stop: () => abort.abort(),
  };
  const asked = new URL(uriOf(job.target));
  const url = new URL(asked.pathname + asked.search, origin);
  const headers = new Headers(job.headers);
  headers.delete("host");
  headers.set("x-forwarded-host", job.target.host);
  const body = countedBody(job, (bytes) => {
    run.bytesIn += bytes;
  });
  const { method } = job.request;
  run.head = fetch(url, { method, headers, body, redirect: "manual", signal: abort.signal }).catch((error: unknown) => {
    if (error instanceof BodyTooLarge) throw error;
    throw new Failed("error-code");
  });
  return run;
}
