// The line that every request goes, as on the server:
//
//     facts → route → admit ──permit──► run → respond → settle
//                       │ refusal                ▲
//                       └────────────────────────┘
//
// Every request with a tenant ends in one record, and its response ends only when that record is stored. Whatever
// fails on the way leads to a problem document, and never around the gate.

import { originOf, runOrigin } from "./app/origin.ts";
import { runComponent } from "./app/run.ts";
import { Failed, type Run } from "./app/work.ts";
import { HeldBody, readBeginning } from "./body.ts";
import type { Facts, LimitUse, Outcome } from "./contract.ts";
import { ending, recordOf, unixNs } from "./contract.ts";
import { addressFrom, type Env } from "./env.ts";
import { continueTrace, NotOneHost, readFacts, readTarget, type Target, Unreadable } from "./facts.ts";
import type { Ended } from "./gate.ts";
import { cleanRequestHeaders, contentLength, dropHopByHop, dropOurs } from "./headers.ts";
import * as problems from "./problem.ts";
import { Routes } from "./route.ts";
import { type App, type Route, site, type Tenant } from "./site.ts";

const routes = new Routes(site.config);

/** Answers one request. */
export async function serve(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
  let requestId = "";
  try {
    const target = readTarget(request, addressFrom(env));
    requestId = target.requestId;
    const headers = new Headers(request.headers);
    cleanRequestHeaders(headers);
    continueTrace(headers, target);
    const route = routes.find(target.host, target.path, request.method);
    const tenant = site.config.tenants[route?.tenant ?? -1];
    const app = tenant?.apps[route?.app ?? -1];
    if (route === undefined || tenant === undefined || app === undefined) {
      return problems.problem(problems.NO_ROUTE, requestId);
    }
    const facts = readFacts(request.method, headers, target, tenant, route);
    return await new Exchange(env, ctx, { route, tenant, app }, facts, target).carry(request, headers);
  } catch (error) {
    if (error instanceof NotOneHost) return problems.problem(problems.unreadable(error.message), undefined);
    if (error instanceof Unreadable) return problems.problem(problems.unreadable(error.message), requestId);
    console.error("a request failed:", error);
    return problems.problem(problems.faulted("host-fault"), requestId);
  }
}

interface Place {
  route: Route;
  tenant: Tenant;
  app: App;
}

/** One request from admission to its record. */
class Exchange {
  readonly #started = Date.now();
  readonly #app: App;
  #rateHeaders: [string, string][] = [];
  #settled: Promise<boolean> | undefined;

  constructor(
    readonly env: Env,
    readonly ctx: ExecutionContext,
    readonly place: Place,
    readonly facts: Facts,
    readonly target: Target,
  ) {
    this.#app = place.app;
  }

  async carry(request: Request, headers: Headers): Promise<Response> {
    const refused = (await this.#tooLarge(headers)) ?? (await this.#admit());
    if (refused !== undefined) return refused;
    const run = this.#run(request, headers);
    try {
      const response = await within(this.#left(), run.head);
      return await this.#respond(run, response, request.method === "HEAD");
    } catch (thrown) {
      const fault = thrown instanceof Failed ? thrown.fault : "host-fault";
      if (!(thrown instanceof Failed)) console.error("a run failed:", thrown);
      run.stop();
      const durable = await this.#settle({ tag: "failed", val: fault }, run);
      const end = durable ? problems.faulted(fault) : problems.BOOK_CLOSED;
      return problems.problem(end, this.facts.requestId, durable ? this.#rateHeaders : []);
    }
  }

  /** A body that announces more than it may have is refused before the gate is asked. */
  async #tooLarge(headers: Headers): Promise<Response | undefined> {
    const announced = contentLength(headers) ?? 0;
    const most = this.#app.limits.requestBodyBytes;
    if (announced <= most) return undefined;
    const limits: LimitUse[] = [["request-body-bytes", BigInt(announced), BigInt(most)]];
    const recorded = await this.#gate().refuse(this.facts, "body-too-large", limits).catch(() => false);
    return problems.problem(recorded ? problems.BODY_TOO_LARGE : problems.BOOK_CLOSED, this.facts.requestId);
  }

  /** Asks the gate. Undefined is leave to run. */
  async #admit(): Promise<Response | undefined> {
    const { requestId } = this.facts;
    try {
      const admitted = await this.#gate().admit(this.facts, this.place.route.failure);
      if (admitted.is === "admitted") {
        this.#rateHeaders = admitted.headers;
        return undefined;
      }
      if (!admitted.recorded) return problems.problem(problems.BOOK_CLOSED, requestId);
      const ends = { denied: problems.DENIED, limited: problems.LIMITED, failed: problems.GATE_FAILED, saturated: problems.SATURATED };
      return problems.problem(ends[admitted.is], requestId, admitted.headers);
    } catch (error) {
      console.error("the gate can't be asked:", error);
      const refused = ending({ tag: "refused", val: "gate-failed" }, [], unixNs());
      const record = recordOf(this.facts, { ...refused, metadata: [["gate-error", "the gate can't be asked"]] });
      const written = await this.env.AUDIT.getByName(site.config.origin).append(record).then(() => true, () => false);
      return problems.problem(written ? problems.GATE_FAILED : problems.BOOK_CLOSED, requestId);
    }
  }

  #run(request: Request, headers: Headers): Run {
    const forwarded = new Headers(headers);
    forwarded.set("x-forwarded-for", this.facts.clientAddress);
    forwarded.set("x-forwarded-proto", this.facts.scheme);
    forwarded.set("tollgate-request-id", this.facts.requestId);
    const { tenant, requestId } = this.facts;
    const shelf = (name: string) => this.env.SHELF.getByName(`${tenant}/${name}`);
    const job = { request, headers: forwarded, target: this.target, app: this.#app, requestId, shelf };
    const origin = originOf(this.#app);
    return origin === undefined ? runComponent(job) : runOrigin(job, origin);
  }

  async #respond(run: Run, from: Response, isHead: boolean): Promise<Response> {
    const headers = new Headers(from.headers);
    const announced = contentLength(headers);
    if (headers.has("content-length") && announced === undefined) throw new Failed("bad-response");
    const most = this.#app.limits.responseBodyBytes;
    if (!isHead && announced !== undefined && announced > most) throw new Failed("response-too-large");
    dropHopByHop(headers);
    dropOurs(headers);
    headers.set("tollgate-request-id", this.facts.requestId);
    for (const [name, value] of this.#rateHeaders) headers.set(name, value);
    const init = { status: from.status, headers, encodeBody: run.encodeBody };
    if (isHead || from.status === 204 || from.status === 304 || announced === 0 || from.body === null) {
      await within(this.#left(), drained(from.body));
      await within(this.#left(), run.over);
      return this.#whole(run, null, init);
    }
    const reader = from.body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    const beginning = await within(this.#left(), readBeginning(reader, run.over));
    const { whole, bytes } = beginning;
    if (bytes.length > most) throw new Failed("response-too-large");
    if (whole) {
      if (announced !== undefined && announced !== bytes.length) throw new Failed("bad-response");
      run.bytesOut = bytes.length;
      return this.#whole(run, bytes, init);
    }
    const held = new HeldBody(reader, beginning, {
      announced,
      mostBytes: most,
      milliseconds: this.#left(),
      ended: (outcome, bytes) => {
        run.bytesOut = bytes;
        if (outcome === "whole") return this.#settleWhole(from.status, run);
        run.stop();
        return this.#settle(outcome, run);
      },
    });
    this.ctx.waitUntil(held.finished);
    if (announced === undefined) return new Response(held.stream, init);
    // With its length, so that what is cut can't look whole.
    const { readable, writable } = new FixedLengthStream(announced);
    this.ctx.waitUntil(held.stream.pipeTo(writable).catch(() => undefined));
    return new Response(readable, init);
  }

  /** Has the record written of a response that streamed to its end, once its run is over, which may yet go wrong. Returns
   * whether the response may end. */
  async #settleWhole(status: number, run: Run): Promise<boolean> {
    try {
      await within(this.#left(), run.over);
    } catch (thrown) {
      run.stop();
      await this.#settle({ tag: "failed", val: thrown instanceof Failed ? thrown.fault : "host-fault" }, run);
      return false;
    }
    return await this.#settle({ tag: "answered", val: status }, run);
  }

  /** A response in one piece, once its record is stored. */
  async #whole(run: Run, body: Uint8Array | null, init: ResponseInit): Promise<Response> {
    const durable = await this.#settle({ tag: "answered", val: init.status ?? 200 }, run);
    if (!durable) return problems.problem(problems.BOOK_CLOSED, this.facts.requestId);
    return new Response(body, init);
  }

  /** Has the record written, once. Returns whether it is stored. Goes on when the client has left. */
  #settle(outcome: Outcome, run: Run): Promise<boolean> {
    this.#settled ??= (async () => {
      try {
        await this.#gate().settle(this.facts.requestId, this.#ended(outcome, run));
        return true;
      } catch (error) {
        console.error("a request has no record yet:", error);
        return false;
      }
    })();
    this.ctx.waitUntil(this.#settled);
    return this.#settled;
  }

  #ended(outcome: Outcome, run: Run): Ended {
    const { limits } = this.#app;
    const wall = BigInt(Date.now() - this.#started);
    const { fuel, gas, hostCalls, memoryBytes } = run.taken();
    const usage = {
      gas,
      fuel,
      memoryBytes: BigInt(memoryBytes),
      cpu: 0n,
      wall: wall * 1_000_000n,
      hostCalls: BigInt(hostCalls),
      bytesIn: BigInt(run.bytesIn),
      bytesOut: BigInt(run.bytesOut),
    };
    const schedule = this.#app.origin === null ? site.config.gas?.schedule : undefined;
    const metered: [string, bigint, string][] = schedule === undefined ? [] : [["fuel", fuel, limits.fuel], ["gas", gas, limits.gas]];
    const figures: [string, bigint | number, string | number][] = [
      ...metered,
      ["deadline-ms", wall, limits.deadlineMs],
      ["memory-bytes", memoryBytes, limits.memoryBytes],
      ["request-body-bytes", run.bytesIn, limits.requestBodyBytes],
      ["response-body-bytes", run.bytesOut, limits.responseBodyBytes],
      ["host-calls", hostCalls, limits.hostCalls],
      ["outgoing-requests", run.outgoing, limits.outgoingRequests],
      ["log-lines", run.logLines, limits.logLines],
    ];
    const metadata: [string, string][] = [
      ["component", this.#app.component],
      ...(schedule === undefined ? [] : [["gas-schedule", schedule] as [string, string]]),
      ["platform", "cloudflare"],
      ["mode", this.#app.origin === null ? "fresh" : "origin"],
    ];
    return { outcome, usage, limits: figures.map(([name, used, most]) => [name, BigInt(used), BigInt(most)]), metadata };
  }

  #gate() {
    return this.env.GATE.getByName(this.facts.tenant);
  }

  /** What is left of the deadline, in milliseconds. */
  #left(): number {
    return Math.max(0, this.#started + this.#app.limits.deadlineMs - Date.now());
  }
}

/** Waits no longer than so many milliseconds. */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Failed("deadline")), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a body that is not sent to its end: the guest may go on writing, and must not find that nobody reads. */
async function drained(body: ReadableStream | null): Promise<void> {
  if (body === null) return;
  const reader = body.getReader();
  while (!(await reader.read()).done);
}
