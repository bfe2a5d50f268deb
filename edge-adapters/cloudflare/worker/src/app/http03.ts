// `wasi:http` 0.3 against the Fetch API: one kind of request and of response, in both directions. Made anew for each
// run.

import { uriOf } from "../facts.ts";
import type { Classes } from "./choke.ts";
import type { Fields } from "./fields.ts";
import { answer, type Method, methodOf, type Scheme } from "./http02.ts";
import { methodText, schemeText, send } from "./outgoing.ts";
import { countedBody, Failed, type Job, type Run } from "./work.ts";

/** How many bytes are asked of a guest's stream at once. */
const READ_BYTES = 64 << 10;

/** A stream of bytes, of a guest's or of the platform's, as the glue has both. */
type Contents = GuestStream | ReadableStream<Uint8Array>;

interface GuestStream {
  read(asked: { count: number }): Promise<{ value?: Uint8Array | number[] | undefined; done?: boolean }>;
}

/** How a body ended: trailers, or an error code. */
type End = { tag: "ok"; val: unknown } | { tag: "err"; val: unknown };

/** A response that a guest has returned. */
export interface Response03 {
  answered(): Response;
}

/** What a run's guest has of `wasi:http`. */
export interface Http03 {
  interfaces: Record<string, Record<string, unknown>>;
  /** The request that it is to answer. */
  request: unknown;
  /** Nobody waits any more: what the guest did not write will not come. */
  failed(error: Failed): void;
}

/** The classes of one run, with the request for its guest. */
export function http03(job: Job, run: Run, { Fields }: Classes): Http03 {
  let fail: (error: Failed) => void = () => undefined;
  const failure = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failure.catch(() => undefined);

  class RequestOptions {
    #connect: bigint | undefined;
    #firstByte: bigint | undefined;
    #betweenBytes: bigint | undefined;
    getConnectTimeout(): bigint | undefined {
      return this.#connect;
    }
    setConnectTimeout(nanoseconds: bigint | undefined): void {
      this.#connect = nanoseconds;
    }
    getFirstByteTimeout(): bigint | undefined {
      return this.#firstByte;
    }
    setFirstByteTimeout(nanoseconds: bigint | undefined): void {
      this.#firstByte = nanoseconds;
    }
    getBetweenBytesTimeout(): bigint | undefined {
      return this.#betweenBytes;
    }
    setBetweenBytesTimeout(nanoseconds: bigint | undefined): void {
      this.#betweenBytes = nanoseconds;
    }
    clone(): RequestOptions {
      const copy = new RequestOptions();
      copy.setConnectTimeout(this.#connect);
      copy.setFirstByteTimeout(this.#firstByte);
      copy.setBetweenBytesTimeout(this.#betweenBytes);
      return copy;
    }
  }
  class Message {
    static readonly hostOnly = ["body", "answered", "arrived"];
    #contents: Contents | undefined;
    #end: Promise<unknown>;
    #consumed = false;
    readonly fields: Fields;
    constructor(fields: Fields, contents: Contents | undefined, end: Promise<unknown>) {
      this.fields = fields.frozen();
      this.#contents = contents;
      this.#end = Promise.resolve(end);
      this.#end.catch(() => undefined);
    }
    getHeaders(): Fields {
      return this.fields;
    }
    static consumeBody(message: Message, result: Promise<unknown>): [Contents, Promise<unknown>] {
      if (message.#consumed) throw new Failed("trap");
      message.#consumed = true;
      // Read from now on, as the engine does: so the guest's write finds a reader, and does not wait for one.
      void result.then(
        () => undefined,
        () => undefined,
      );
      return [message.#contents ?? new ReadableStream<Uint8Array>({ start: (to) => to.close() }), message.#end];
    }
    /** The body as the platform reads it. */
    static body(message: Message): ReadableStream<Uint8Array> | null {
      const contents = message.#contents;
      if (contents === undefined || contents instanceof ReadableStream) return contents ?? null;
      return read(contents, message.#end, failure);
    }
  }
  class Request extends Message {
    #method: Method = { tag: "get" };
    #path: string | undefined;
    #scheme: Scheme | undefined;
    #authority: string | undefined;
    #options: RequestOptions | undefined;
    static new(fields: Fields, contents: Contents | undefined, end: Promise<unknown>, options: RequestOptions | undefined): [Request, Promise<End>] {
      const request = new Request(fields, contents, end);
      request.#options = options;
      return [request, sent()];
    }
    getMethod(): Method {
      return this.#method;
    }
    setMethod(method: Method): void {
      this.#method = method;
    }
    getPathWithQuery(): string | undefined {
      return this.#path;
    }
    setPathWithQuery(path: string | undefined): void {
      this.#path = path;
    }
    getScheme(): Scheme | undefined {
      return this.#scheme;
    }
    setScheme(scheme: Scheme | undefined): void {
      this.#scheme = scheme;
    }
    getAuthority(): string | undefined {
      return this.#authority;
    }
    setAuthority(authority: string | undefined): void {
      this.#authority = authority;
    }
    getOptions(): RequestOptions | undefined {
      return this.#options;
    }
  }
  class Response extends Message implements Response03 {
    #status = 200;
    static new(fields: Fields, contents: Contents | undefined, end: Promise<unknown>): [Response, Promise<End>] {
      return [new Response(fields, contents, end), sent()];
    }
    static arrived(status: number, response: Response): Response {
      response.#status = status;
      return response;
    }
    getStatusCode(): number {
      return this.#status;
    }
    setStatusCode(status: number): void {
      if (status < 100 || status > 999) throw undefined;
      this.#status = status;
    }
    answered(): globalThis.Response {
      return answer(this.#status, this.fields, Message.body(this));
    }
  }

  const [contents, end] = received(countedBody(job, (bytes) => (run.bytesIn += bytes)));
  const request = new Request(Fields.received(job.headers, (name) => name === "host"), contents, end);
  const { path, query, scheme } = job.target;
  request.setMethod(methodOf(job.request.method));
  request.setPathWithQuery(query === undefined ? path : `${path}?${query}`);
  request.setScheme({ tag: scheme === "https" ? "HTTPS" : "HTTP" });
  request.setAuthority(new URL(uriOf(job.target)).host);

  const forward = async (request: Request): Promise<Response> => {
    const firstByte = request.getOptions()?.getFirstByteTimeout();
    const { head, body } = await send(job, run, {
      method: methodText(request.getMethod()),
      scheme: schemeText(request.getScheme()),
      authority: request.getAuthority(),
      pathWithQuery: request.getPathWithQuery(),
      headers: request.fields.headers(),
      body: Message.body(request),
      firstByteMs: firstByte === undefined ? undefined : Number(firstByte / 1_000_000n),
    });
    const [contents, end] = received(body);
    return Response.arrived(head.status, new Response(Fields.received(head.headers, () => false), contents, end));
  };
  const types = { Fields, Request, RequestOptions, Response };
  return { interfaces: { "wasi:http/types": types, "wasi:http/client": { send: forward } }, request, failed: fail };
}

/** What the maker of a message learns of its transmission: the platform does not tell, so that it was taken. */
function sent(): Promise<End> {
  return Promise.resolve({ tag: "ok", val: undefined });
}

/** Bytes from outside, as the glue wants them: the stream, and how it ended. Trailers are not the Fetch API's. */
function received(body: ReadableStream<Uint8Array> | null): [ReadableStream<Uint8Array> | undefined, Promise<End>] {
  if (body === null) return [undefined, Promise.resolve({ tag: "ok", val: undefined })];
  let ended: (how: End) => void = () => undefined;
  const end = new Promise<End>((resolve) => {
    ended = resolve;
  });
  const reader = body.getReader();
  const stream = new ReadableStream<Uint8Array>({
    async pull(to) {
      try {
        const { done, value } = await reader.read();
        if (!done) return to.enqueue(value);
        to.close();
        ended({ tag: "ok", val: undefined });
      } catch (error) {
        // The guest's stream ends, and the future tells that it did not end well.
        to.close();
        const large = error instanceof Error && error.name === "BodyTooLarge";
        ended({ tag: "err", val: large ? { tag: "HTTP-request-body-size", val: undefined } : { tag: "connection-terminated" } });
      }
    },
    async cancel(reason) {
      ended({ tag: "ok", val: undefined });
      await reader.cancel(reason).catch(() => undefined);
    },
  });
  return [stream, end];
}

/** A guest's stream as the platform reads it. It is whole only if the guest says so: by the future of its trailers. */
function read(contents: GuestStream, trailers: Promise<unknown>, failure: Promise<never>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(to) {
        const { value, done } = await Promise.race([contents.read({ count: READ_BYTES }), failure]);
        if (value !== undefined && value.length > 0) to.enqueue(value instanceof Uint8Array ? value.slice() : Uint8Array.from(value));
        if (!done) return;
        const end = (await Promise.race([trailers, failure])) as End | undefined;
        if (end?.tag === "err") throw new Failed("error-code");
        to.close();
      },
    },
    { highWaterMark: 0 },
  );
}
