// What the platform binds.

import type { Shelf } from "./app/stores.ts";
import type { Entry, Facts, LimitUse } from "./contract.ts";
import type { AddressFrom } from "./facts.ts";
import type { Admitted, Ended } from "./gate.ts";

/** An object of another class, as a caller has it. */
interface Objects<Stub> {
  getByName(name: string): Stub;
}

interface GateStub {
  admit(facts: Facts, failure: "closed" | "open"): Promise<Admitted>;
  settle(requestId: string, ended: Ended): Promise<void>;
  refuse(facts: Facts, code: string, limits: LimitUse[]): Promise<boolean>;
}

interface AuditStub {
  append(entry: Entry): Promise<void>;
  read(key: string): Promise<Uint8Array | undefined>;
}

export interface Env {
  /** One object for each tenant, named as the tenant. */
  GATE: Objects<GateStub>;
  /** One object for the log, named as its origin. */
  AUDIT: Objects<AuditStub>;
  /** One object for each store of each tenant's apps, named `tenant/store`. */
  SHELF: Objects<Shelf>;
  /** The log's private key, PKCS#8 PEM: a secret. */
  AUDIT_KEY: string;
  /** `cf-connecting-ip`, or one address that every client has. */
  CLIENT_ADDRESS: string;
  /** Which version this is; only the platform says. */
  VERSION?: { id: string };
}

/** Where clients' addresses come from. */
export function addressFrom(env: Env): AddressFrom {
  return env.CLIENT_ADDRESS === "cf-connecting-ip" ? { header: "cf-connecting-ip" } : { fixed: env.CLIENT_ADDRESS };
}
