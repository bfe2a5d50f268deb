// `wasi:http` 0.2, the outgoing side, over fetch.

import type { Classes } from "./choke.ts";
import type { Fields } from "./fields.ts";
import type { Body02, Incoming02, Method, Scheme } from "./http02.ts";
import { methodText, type Returned, schemeText, send } from "./outgoing.ts";
import type { Pipe, Pollable } from "./streams.ts";
import type { Job, Run } from "./work.ts";

/** The interfaces of a run's `wasi:http`: what `served` has, and what a guest sends with. */
export function http02(job: Job, run: Run, { Fields, Pollable }: Classes, served: Incoming02): Record<string, Record<string, unknown>> {
  const { IncomingBody, OutgoingBody } = served.bodies;

  class RequestOptions {
    #connect: bigint | undefined;
    #firstByte: bigint | undefined;
    #betweenBytes: bigint | undefined;
    connectTimeout(): bigint | undefined {
      return this.#connect;
    }
    setConnectTimeout(nanoseconds: bigint | undefined): void {
      this.#connect = nanoseconds;
    }
    firstByteTimeout(): bigint | undefined {
      return this.#firstByte;
    }
    setFirstByteTimeout(nanoseconds: bigint | undefined): void {
      this.#firstByte = nanoseconds;
    }
    betweenBytesTimeout(): bigint | undefined {
      return this.#betweenBytes;
    }
    setBetweenBytesTimeout(nanoseconds: bigint | undefined): void {
      this.#betweenBytes = nanoseconds;
    }
  }
  class OutgoingRequest {
    static readonly hostOnly = ["sent"];
    #method: Method = { tag: "get" };
    #path: string | undefined;
    #scheme: Scheme | undefined;
    #authority: string | undefined;
    #body: { pipe: Pipe } | undefined;
    readonly #fields: Fields;
    constructor(fields: Fields) {
      this.#fields = fields.frozen();
    }
    method(): Method {
      return this.#method;
    }
    setMethod(method: Method): void {
      this.#method = method;
    }
    pathWithQuery(): string | undefined {
      return this.#path;
    }
    setPathWithQuery(path: string | undefined): void {
      this.#path = path;
    }
    scheme(): Scheme | undefined {
      return this.#scheme;
    }
    setScheme(scheme: Scheme | undefined): void {
      this.#scheme = scheme;
    }
    authority(): string | undefined {
      return this.#authority;
    }
    setAuthority(authority: string | undefined): void {
      this.#authority = authority;
    }
    headers(): Fields {
      return this.#fields;
    }
    body(): { pipe: Pipe } {
      if (this.#body !== undefined) throw undefined;
      this.#body = new OutgoingBody();
      return this.#body;
    }
    static sent(request: OutgoingRequest, options: RequestOptions | undefined): Promise<Returned> {
      const firstByte = options?.firstByteTimeout();
      return send(job, run, {
        method: methodText(request.#method),
        scheme: schemeText(request.#scheme),
        authority: request.#authority,
        pathWithQuery: request.#path,
        headers: request.#fields.headers(),
        body: request.#body?.pipe.stream ?? null,
        firstByteMs: firstByte === undefined ? undefined : Number(firstByte / 1_000_000n),
      });
    }
  }
  class IncomingResponse {
    #body: Body02 | undefined;
    readonly #from: Response;
    constructor({ head, body }: Returned) {
      this.#from = head;
      this.#body = new IncomingBody(body);
    }
    status(): number {
      return this.#from.status;
    }
    headers(): Fields {
      return Fields.received(this.#from.headers, () => false);
    }
    consume(): Body02 {
      const body = this.#body;
      this.#body = undefined;
      if (body === undefined) throw undefined;
      return body;
    }
  }
  class FutureIncomingResponse {
    #result: { tag: "ok"; val: IncomingResponse } | { tag: "err"; val: unknown } | undefined;
    #taken = false;
    readonly #done: Promise<void>;
    constructor(sent: Promise<Returned>) {
      this.#done = sent.then(
        (response) => {
          this.#result = { tag: "ok", val: new IncomingResponse(response) };
        },
        (error: unknown) => {
          this.#result = { tag: "err", val: error };
        },
      );
    }
    subscribe(): Pollable {
      return Pollable.of(this.#done);
    }
    get(): unknown {
      if (this.#result === undefined) return undefined;
      if (this.#taken) return { tag: "err" };
      this.#taken = true;
      return { tag: "ok", val: this.#result };
    }
  }
  const handle = (request: OutgoingRequest, options: RequestOptions | undefined): FutureIncomingResponse => {
    return new FutureIncomingResponse(OutgoingRequest.sent(request, options));
  };
  const types = { ...served.types, RequestOptions, OutgoingRequest, IncomingResponse, FutureIncomingResponse };
  return { "wasi:http/types": types, "wasi:http/outgoing-handler": { handle } };
}
