// What the line gives an app, and what it gets back.

import type { Target } from "../facts.ts";
import type { Fault } from "../problem.ts";
import type { App } from "../site.ts";
import type { Shelf } from "./stores.ts";

/** One request for an app. */
export interface Job {
  request: Request;
  /** The headers as the app gets them. */
  headers: Headers;
  target: Target;
  app: App;
  requestId: string;
  /** A store of the tenant's. */
  shelf(name: string): Shelf;
}

/** A run, from its start until after its end. */
export interface Run {
  /** The response's head, with a body that streams; or a `Failed`. */
  head: Promise<Response>;
  /** Settles when the app does nothing more for this request. Rejects with a `Failed` if that ended badly. */
  over: Promise<void>;
  /** Whether a `content-encoding` is the app's own doing. */
  encodeBody: "automatic" | "manual";
  bytesIn: number;
  bytesOut: number;
  outgoing: number;
  logLines: number;
  /** Bytes have crossed with a call of this interface, or in one of its streams. */
  crossed(name: string, bytes: number): void;
  /** What it has taken so far. */
  taken(): Taken;
  /** Nobody waits for it any more. */
  stop(): void;
}

/** What a run has taken of what is metered. */
export interface Taken {
  fuel: bigint;
  gas: bigint;
  hostCalls: number;
  memoryBytes: number;
}

/** A run ended badly. */
export class Failed extends Error {
  constructor(readonly fault: Fault) {
    super(fault);
  }
}

/** The request's body, counted, and cut when it is more than it may be. */
export function countedBody(job: Job, count: (bytes: number) => void): ReadableStream<Uint8Array> | null {
  const { body } = job.request;
  if (body === null) return null;
  let left = job.app.limits.requestBodyBytes;
  return (body as ReadableStream<Uint8Array>).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, to) {
        left -= bytes.length;
        if (left < 0) throw new BodyTooLarge();
        count(bytes.length);
        to.enqueue(bytes);
      },
    }),
  );
}

/** A request body that was not announced, and is larger than it may be. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}
