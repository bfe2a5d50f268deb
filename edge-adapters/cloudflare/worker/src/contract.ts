// The words of `wit/gate`, as the transpiled components have them: records are objects with camel-case keys, variants
// are `{ tag, val }`, 64-bit numbers are bigints, and a missing option is `undefined`.

export interface Actor {
  id: string;
  kind: "anonymous" | "client" | "host";
  groups: string[];
}

export interface Facts {
  requestId: string;
  receivedAt: bigint;
  tenant: string;
  app: string;
  route: string;
  component: string;
  method: string;
  scheme: string;
  host: string;
  path: string;
  query: string | undefined;
  clientAddress: string;
  actor: Actor;
  headers: [string, string][];
  bodyLength: bigint | undefined;
  traceId: string;
}

export interface Charge {
  bucket: string;
  key: string;
  cost: bigint;
}

export type HeaderList = [string, string][];

export interface Permit {
  policies: string[];
  charges: Charge[];
  headers: HeaderList;
}

export type Refusal =
  | { tag: "denied"; val: { policies: string[]; errors: string[] } }
  | { tag: "limited"; val: { bucket: string; retryAfter: bigint; policies: string[]; headers: HeaderList } }
  | { tag: "failed"; val: string };

export type Outcome =
  | { tag: "answered"; val: number }
  | { tag: "denied" }
  | { tag: "limited" }
  | { tag: "refused"; val: string }
  | { tag: "failed"; val: string }
  | { tag: "abandoned" }
  | { tag: "interrupted" };

export interface Usage {
  gas: bigint;
  fuel: bigint;
  memoryBytes: bigint;
  cpu: bigint;
  wall: bigint;
  hostCalls: bigint;
  bytesIn: bigint;
  bytesOut: bigint;
}

export type LimitUse = [name: string, used: bigint, limit: bigint];

export interface Ending {
  outcome: Outcome;
  usage: Usage;
  limits: LimitUse[];
  metadata: [string, string][];
  policies: string[];
  charges: Charge[];
  now: bigint;
}

export interface Entry {
  requestId: string;
  time: bigint;
  tenant: string;
  actor: Actor;
  action: string;
  resource: string;
  outcome: Outcome;
  clientAddress: string;
  metadata: [string, string][];
  traceId: string;
  usage: Usage;
  limits: LimitUse[];
  policies: string[];
}

export interface GateConfig {
  policy: Uint8Array;
  quotas: {
    bucket: { name: string; unit: "requests" | "gas"; quota: bigint; window: bigint };
    key: ("tenant" | "app" | "route" | "actor" | "client-address")[];
    reserve: bigint;
  }[];
  routes: { route: string; buckets: string[] }[];
  store: string;
}

/** The exports of a composed gate. A result's error is thrown, as an error with a `payload`. */
export interface Admission {
  configure(config: GateConfig): void;
  admit(facts: Facts): Permit;
  settle(facts: Facts, ending: Ending): Entry;
}

/** The exports of the audit component. */
export interface AuditLog {
  open(origin: string, store: string): bigint;
  append(entries: Entry[]): bigint;
  checkpoint(): string;
}

/** Nothing taken. */
export const NOTHING: Usage = {
  gas: 0n,
  fuel: 0n,
  memoryBytes: 0n,
  cpu: 0n,
  wall: 0n,
  hostCalls: 0n,
  bytesIn: 0n,
  bytesOut: 0n,
};

/** An ending of a request that took nothing. */
export function ending(outcome: Outcome, policies: string[], now: bigint): Ending {
  return { outcome, usage: NOTHING, limits: [], metadata: [], policies, charges: [], now };
}

/** A request's record, as the gate's `settle` would make it: for when the gate can't. */
export function recordOf(facts: Facts, ending: Ending): Entry {
  return {
    requestId: facts.requestId,
    time: facts.receivedAt,
    tenant: facts.tenant,
    actor: facts.actor,
    action: facts.method,
    resource: `${facts.tenant}/${facts.app}/${facts.route} ${facts.host} ${facts.path}`,
    outcome: ending.outcome,
    clientAddress: facts.clientAddress,
    metadata: ending.metadata,
    traceId: facts.traceId,
    usage: ending.usage,
    limits: ending.limits,
    policies: ending.policies,
  };
}

/** The present time in Unix nanoseconds. The platform's clock counts milliseconds, and stands still while code runs. */
export function unixNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
