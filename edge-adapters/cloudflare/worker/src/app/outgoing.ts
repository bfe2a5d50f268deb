// Outgoing requests of a guest: to where its grants allow, as many as it may have.

import type { Job, Run } from "./work.ts";

/** What a guest gets for a request that had no answer: an error code of `wasi:http`. */
export type ErrorCode = { tag: string; val?: unknown };

/** A request that a guest sends. */
export interface Outgoing {
  method: string;
  scheme: string;
  authority: string | undefined;
  pathWithQuery: string | undefined;
  headers: Headers;
  body: ReadableStream<Uint8Array> | null;
  /** How long the response's head may take, in milliseconds; undefined for as long as the run. */
  firstByteMs: number | undefined;
}

/** A response to it, and its body, counted. */
export interface Returned {
  head: Response;
  body: ReadableStream<Uint8Array> | null;
}

/** Sends it. No redirect is followed: the guest sees it and decides. Throws an `ErrorCode`. */
export async function send(job: Job, run: Run, request: Outgoing): Promise<Returned> {
  run.outgoing += 1;
  if (run.outgoing > job.app.limits.outgoingRequests) throw { tag: "connection-limit-reached" } satisfies ErrorCode;
  const url = urlOf(request);
  if (!job.app.grants.http?.allow.some((pattern) => matches(pattern, url))) {
    throw { tag: "HTTP-request-denied" } satisfies ErrorCode;
  }
  const { method, headers, firstByteMs } = request;
  const body = counted(run, request.body);
  const abort = new AbortController();
  const timer = firstByteMs === undefined ? undefined : setTimeout(() => abort.abort(), firstByteMs);
  try {
    const response = await fetch(url, { method, headers, body, redirect: "manual", signal: abort.signal });
    return { head: response, body: counted(run, response.body as ReadableStream<Uint8Array> | null) };
  } catch {
    throw { tag: abort.signal.aborted ? "HTTP-response-timeout" : "connection-refused" } satisfies ErrorCode;
  } finally {
    clearTimeout(timer);
  }
}

/** A body whose bytes are priced as they pass, in either direction. */
function counted(run: Run, body: ReadableStream<Uint8Array> | null): ReadableStream<Uint8Array> | null {
  if (body === null) return null;
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, to) {
        run.crossed("wasi:http/client", bytes.length);
        to.enqueue(bytes);
      },
    }),
  );
}

function urlOf({ scheme, authority, pathWithQuery }: Outgoing): URL {
  try {
    const url = new URL(`${scheme}://${authority ?? ""}${pathWithQuery ?? "/"}`);
    if (authority !== undefined && url.username === "" && url.password === "") return url;
  } catch {
    // Told below.
  }
  throw { tag: "HTTP-request-URI-invalid" } satisfies ErrorCode;
}

/** Whether a line of the allow-list has this origin: `https://api.example.com`, `https://*.example.com`. */
function matches(pattern: string, url: URL): boolean {
  const any = pattern.includes("://*.");
  const allowed = new URL(pattern.replace("://*.", "://"));
  const port = (of: URL) => of.port || (of.protocol === "https:" ? "443" : "80");
  if (allowed.protocol !== url.protocol || port(allowed) !== port(url)) return false;
  return any ? url.hostname.endsWith(`.${allowed.hostname}`) : url.hostname === allowed.hostname;
}

/** A method as it is sent. */
export function methodText(method: { tag: string; val?: string }): string {
  return method.tag === "other" ? (method.val ?? "") : method.tag.toUpperCase();
}

/** A scheme as it is sent. */
export function schemeText(scheme: { tag: string; val?: string } | undefined): string {
  return scheme === undefined ? "https" : scheme.tag === "other" ? (scheme.val ?? "") : scheme.tag.toLowerCase();
}
