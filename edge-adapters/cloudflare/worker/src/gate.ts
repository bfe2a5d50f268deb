// The gate of one tenant, in one Durable Object: policy, limiter and the order of admission, as composed from the
// signed components. The object is one thread and its storage is its own, so counts are exact, and each request that
// was let in has a note until its record is in the log.

import { DurableObject } from "cloudflare:workers";
import type { Admission, Ending, Entry, Facts, GateConfig, Outcome, Permit, Refusal } from "./contract.ts";
import { ending, recordOf, unixNs } from "./contract.ts";
import { instantiate, returnedError } from "./derived.ts";
import type { Env } from "./env.ts";
import { keyvalueImports, Store } from "./keyvalue.ts";
import { Notes } from "./notes.ts";
import type { GateSetting, Tenant } from "./site.ts";
import { site } from "./site.ts";

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 5_000;

/** How long after its deadline a request that nobody settled counts as interrupted. */
const GRACE_MS = 10_000;

/** What is kept of what a policy engine says: the bounds of the server's `gate.rs`. */
const POLICIES_MOST = 64;
const REASONS_MOST = 8;
const TEXT_BYTES_MOST = 512;

/** How an admission ended. Everything but `admitted` is in the log already, unless `recorded` is false. */
export type Admitted =
  | { is: "admitted"; headers: [string, string][]; unchecked: boolean }
  | { is: "denied" | "limited" | "failed" | "saturated"; headers: [string, string][]; recorded: boolean };

/** What the line knows of a request's end; the gate knows the rest. */
export type Ended = Pick<Ending, "outcome" | "usage" | "limits" | "metadata">;

export class Gate extends DurableObject<Env> {
  readonly #tenant: Tenant | undefined;
  readonly #counts: Store;
  readonly #notes: Notes;
  #admission: Admission | undefined;
  #pause: { until: number; length: number } | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#tenant = site.config.tenants.find((tenant) => tenant.name === ctx.id.name);
    this.#counts = new Store(ctx.storage, "limits");
    this.#notes = new Notes(ctx.storage);
  }

  /** Asks for leave to run one request. */
  async admit(facts: Facts, failure: "closed" | "open"): Promise<Admitted> {
    if (this.#tenant === undefined || facts.tenant !== this.#tenant.name) throw new Error("the object is of another tenant");
    if (this.#notes.running() >= this.#tenant.concurrentRequests) {
      return this.#refused("saturated", facts, { tag: "refused", val: "saturated" }, {});
    }
    let permit: Permit & { unchecked: boolean };
    try {
      permit = { ...this.#call((admission) => admission.admit(facts)), unchecked: false };
    } catch (thrown) {
      const returned = returnedError(thrown)?.payload as Refusal | undefined;
      const refusal = returned ?? { tag: "failed" as const, val: String(thrown) };
      if (refusal.tag !== "failed" || failure === "closed") return this.#refuse(facts, refusal);
      console.error("the gate failed, and the route lets everybody in:", refusal.val);
      permit = { policies: [], charges: [], headers: [], unchecked: true };
    }
    const policies = few(permit.policies, POLICIES_MOST);
    this.#notes.add({ facts, policies, charges: permit.charges, unchecked: permit.unchecked, since: Date.now() });
    await this.#sweepLater();
    return { is: "admitted", headers: permit.headers, unchecked: permit.unchecked };
  }

  /** Settles an admitted request. When this returns, its record is in the log. */
  async settle(requestId: string, ended: Ended): Promise<void> {
    const note = this.#notes.take(requestId);
    if (note === undefined) return;
    const { facts, policies, charges } = note;
    const metadata: [string, string][] = note.unchecked ? [...ended.metadata, ["gate", "failed-open"]] : ended.metadata;
    const entry = this.#entry(facts, { ...ended, metadata, policies, charges, now: unixNs() });
    this.#notes.owe(entry);
    await this.#write(entry);
  }

  /** Records a request that was refused before the gate was asked. Returns whether it is in the log. */
  async refuse(facts: Facts, code: string, limits: Ending["limits"]): Promise<boolean> {
    const { recorded } = await this.#refused("failed", facts, { tag: "refused", val: code }, { limits });
    return recorded;
  }

  /** Whoever was let in and never settled has been interrupted; records that could not be written are tried again; and
   * counts that nobody can owe anything on are let go. */
  override async alarm(): Promise<void> {
    for (const note of this.#notes.since(Date.now() - this.#longestRun())) {
      const interrupted = { ...ending({ tag: "interrupted" }, note.policies, unixNs()), charges: note.charges };
      this.#notes.take(note.facts.requestId);
      this.#notes.owe(this.#entry(note.facts, interrupted));
    }
    this.#counts.forgetBefore(Date.now() - (this.#tenant?.longestDebtMs ?? 0) - GRACE_MS);
    try {
      for (const entry of this.#notes.owed()) await this.#write(entry);
    } catch (error) {
      console.error("records are still owed:", error);
    }
    if (this.#notes.running() > 0 || this.#notes.owed().length > 0) await this.#sweepLater();
  }

  /** How long a request may be without its end, in milliseconds. */
  #longestRun(): number {
    return Math.max(0, ...(this.#tenant?.apps.map((app) => app.limits.deadlineMs) ?? [])) + GRACE_MS;
  }

  #refuse(facts: Facts, refusal: Refusal): Promise<Extract<Admitted, { recorded: boolean }>> {
    switch (refusal.tag) {
      case "denied": {
        const metadata = few(refusal.val.errors, REASONS_MOST).map((text): [string, string] => ["policy-error", text]);
        return this.#refused("denied", facts, { tag: "denied" }, { policies: refusal.val.policies, metadata });
      }
      case "limited": {
        const { policies, headers, bucket } = refusal.val;
        return this.#refused("limited", facts, { tag: "limited" }, { policies, metadata: [["bucket", bucket]] }, headers);
      }
      case "failed": {
        const outcome: Outcome = { tag: "refused", val: "gate-failed" };
        return this.#refused("failed", facts, outcome, { metadata: [["gate-error", short(refusal.val)]] });
      }
    }
  }

  async #refused(
    is: "denied" | "limited" | "failed" | "saturated",
    facts: Facts,
    outcome: Outcome,
    more: Partial<Ending>,
    headers: [string, string][] = [],
  ): Promise<Extract<Admitted, { recorded: boolean }>> {
    const policies = few(more.policies ?? [], POLICIES_MOST);
    const entry = this.#entry(facts, { ...ending(outcome, [], unixNs()), ...more, policies });
    try {
      await this.#append(entry);
      return { is, headers, recorded: true };
    } catch (error) {
      console.error("a request has no record:", error);
      return { is, headers, recorded: false };
    }
  }

  /** The record, made by the gate; or by this host where the gate can't. */
  #entry(facts: Facts, ending: Ending): Entry {
    try {
      return this.#call((admission) => admission.settle(facts, ending));
    } catch (thrown) {
      const metadata: [string, string][] = [...ending.metadata, ["settle-error", short(String(thrown))]];
      return recordOf(facts, { ...ending, metadata });
    }
  }

  async #write(entry: Entry): Promise<void> {
    await this.#append(entry);
    this.#notes.paid(entry.requestId);
  }

  async #append(entry: Entry): Promise<void> {
    await this.env.AUDIT.getByName(site.config.origin).append(entry);
  }

  /** One call into the warm instance. A trap drops it, and new ones are made with growing pauses. */
  #call<R>(call: (admission: Admission) => R): R {
    try {
      this.#admission ??= this.#make();
      const answer = call(this.#admission);
      this.#pause = undefined;
      return answer;
    } catch (thrown) {
      if (returnedError(thrown) === undefined) this.#failed();
      throw thrown;
    }
  }

  #make(): Admission {
    if (this.#pause !== undefined && Date.now() < this.#pause.until) {
      throw new Error("the gate failed, and is not tried again yet");
    }
    const tenant = this.#tenant;
    const derived = site.gates[tenant?.gate ?? -1];
    if (tenant === undefined || derived === undefined) throw new Error("the bundle has no gate for this tenant");
    const { store } = tenant.gateConfig;
    const { exports } = instantiate<Record<string, Admission>>(derived, keyvalueImports(store, this.#counts));
    const admission = exports["tollgate:gate/admission@0.1.0"];
    if (admission === undefined) throw new Error("the gate has no admission");
    try {
      admission.configure(configOf(tenant.gateConfig));
    } catch (thrown) {
      // Refused is failed: with no configuration there is no decision.
      throw new Error(`the gate was not configured: ${JSON.stringify(returnedError(thrown)?.payload ?? String(thrown))}`);
    }
    return admission;
  }

  #failed(): void {
    this.#admission = undefined;
    if (this.#pause !== undefined && Date.now() < this.#pause.until) return;
    const length = Math.min((this.#pause?.length ?? FIRST_PAUSE_MS / 2) * 2, LONGEST_PAUSE_MS);
    this.#pause = { until: Date.now() + length, length };
  }

  async #sweepLater(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + this.#longestRun());
  }
}

function configOf(setting: GateSetting): GateConfig {
  return {
    policy: new TextEncoder().encode(setting.policy),
    quotas: setting.quotas.map(({ bucket, key, reserve }) => ({
      bucket: { ...bucket, quota: BigInt(bucket.quota), window: BigInt(bucket.window) },
      key,
      reserve: BigInt(reserve),
    })),
    routes: setting.routes,
    store: setting.store,
  };
}

function few(texts: string[], most: number): string[] {
  return texts.slice(0, most).map(short);
}

/** At most that many bytes, in whole characters. */
function short(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= TEXT_BYTES_MOST) return text;
  return new TextDecoder().decode(bytes.slice(0, TEXT_BYTES_MOST)).replace(/\ufffd+$/, "");
}
