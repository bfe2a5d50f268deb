// `wasi:http` 0.2, the incoming side, against the Fetch API. Made anew for each run.

import { uriOf } from "../facts.ts";
import type { Classes } from "./choke.ts";
import type { Fields } from "./fields.ts";
import { type InputStream, type OutputStream, Pipe, type Pollable } from "./streams.ts";
import { countedBody, Failed, type Job, type Run } from "./work.ts";

export type Method = { tag: string; val?: string };
export type Scheme = { tag: "HTTP" | "HTTPS" } | { tag: "other"; val: string };

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/** A method in the words of `wasi:http`. */
export function methodOf(text: string): Method {
  return METHODS.includes(text) ? { tag: text.toLowerCase() } : { tag: "other", val: text };
}

/** The classes of `wasi:http/types` that serve a request, and what starts one. */
export interface Incoming {
  types: Record<string, unknown>;
  request: unknown;
  /** Nobody waits any more: what the guest did not write will not come. */
  failed(error: Failed): void;
}

/** In 0.2 a guest sets its answer, and then goes on. */
export interface Incoming02 extends Incoming {
  outparam: unknown;
  /** The head that the guest set, with its body. */
  head: Promise<Response>;
  /** The handler has returned: what it did not set will not come. */
  returned(): void;
  /** The classes of bodies, which outgoing requests have too. */
  bodies: ReturnType<typeof bodies02>;
}

/** A body for a guest. */
export interface Body02 {
  stream(): InputStream;
}

/** The bodies of messages in both directions. A guest's own are ended by whoever runs it, if not by the guest. */
export function bodies02({ InputStream, OutputStream, Pollable }: Classes, pipes: Pipe[]) {
  class FutureTrailers {
    subscribe(): Pollable {
      return Pollable.of(Promise.resolve());
    }
    get(): unknown {
      return { tag: "ok", val: { tag: "ok", val: undefined } };
    }
  }
  class IncomingBody implements Body02 {
    #from: ReadableStream<Uint8Array> | null | undefined;
    constructor(from: ReadableStream<Uint8Array> | null) {
      this.#from = from;
    }
    stream(): InputStream {
      const from = this.#from;
      this.#from = undefined;
      if (from === undefined) throw undefined;
      return new InputStream(from, Pollable);
    }
    static finish(_: IncomingBody): FutureTrailers {
      return new FutureTrailers();
    }
  }
  class OutgoingBody {
    readonly pipe = new Pipe();
    #given = false;
    constructor() {
      pipes.push(this.pipe);
    }
    write(): OutputStream {
      if (this.#given) throw undefined;
      this.#given = true;
      return new OutputStream(this.pipe, Pollable);
    }
    // Trailers have no place in the Fetch API: what a guest sends is dropped.
    static finish(body: OutgoingBody): void {
      body.pipe.end();
    }
  }
  return { FutureTrailers, IncomingBody, OutgoingBody };
}

/** A request for a guest, and where its answer goes. */
export function incoming02(job: Job, run: Run, own: Classes): Incoming02 {
  const { Fields } = own;
  let resolve: (response: Response) => void;
  let reject: (error: unknown) => void;
  const head = new Promise<Response>((good, bad) => {
    resolve = good;
    reject = bad;
  });
  head.catch(() => undefined);
  const pipes: Pipe[] = [];

  const { FutureTrailers, IncomingBody, OutgoingBody } = bodies02(own, pipes);
  class IncomingRequest {
    #body: Body02 | undefined = new IncomingBody(countedBody(job, (bytes) => (run.bytesIn += bytes)));
    method(): Method {
      return methodOf(job.request.method);
    }
    pathWithQuery(): string {
      const { path, query } = job.target;
      return query === undefined ? path : `${path}?${query}`;
    }
    scheme(): Scheme {
      return { tag: job.target.scheme === "https" ? "HTTPS" : "HTTP" };
    }
    authority(): string {
      return new URL(uriOf(job.target)).host;
    }
    headers(): Fields {
      return Fields.received(job.headers, (name) => name === "host");
    }
    consume(): Body02 {
      const body = this.#body;
      this.#body = undefined;
      if (body === undefined) throw undefined;
      return body;
    }
  }
  class OutgoingResponse {
    static readonly hostOnly = ["answer"];
    #status = 200;
    #body: { pipe: Pipe } | undefined;
    readonly fields: Fields;
    constructor(fields: Fields) {
      this.fields = fields.frozen();
    }
    statusCode(): number {
      return this.#status;
    }
    setStatusCode(status: number): void {
      if (status < 100 || status > 999) throw undefined;
      this.#status = status;
    }
    headers(): Fields {
      return this.fields;
    }
    body(): { pipe: Pipe } {
      if (this.#body !== undefined) throw undefined;
      this.#body = new OutgoingBody();
      return this.#body;
    }
    /** As the platform sends it. */
    answer(): Response {
      return answer(this.#status, this.fields, this.#body?.pipe.stream ?? null);
    }
  }
  class ResponseOutparam {
    static set(_: ResponseOutparam, response: { tag: "ok"; val: OutgoingResponse } | { tag: "err" }): void {
      try {
        if (response.tag === "err") throw new Failed("error-code");
        resolve(response.val.answer());
      } catch (error) {
        reject(error);
      }
    }
  }
  return {
    types: { Fields, FutureTrailers, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam },
    bodies: { FutureTrailers, IncomingBody, OutgoingBody },
    request: new IncomingRequest(),
    outparam: new ResponseOutparam(),
    head,
    returned: () => {
      reject(new Failed("no-response"));
      // A body that was not finished was cut, unless nobody took it.
      for (const pipe of pipes) pipe.fail(new Failed("trap"));
    },
    failed: (error) => {
      reject(error);
      for (const pipe of pipes) pipe.fail(error);
    },
  };
}

/** A guest's response as the platform sends it. Informational statuses are the host's own. */
export function answer(status: number, fields: Fields, body: ReadableStream<Uint8Array> | null): Response {
  if (status < 200 || status > 599) throw new Failed("bad-response");
  const bodiless = [204, 205, 304].includes(status);
  if (bodiless && body !== null) void body.pipeTo(new WritableStream()).catch(() => undefined);
  return new Response(bodiless ? null : body, { status, headers: fields.headers(), encodeBody: "manual" });
}
