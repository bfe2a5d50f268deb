// What a bundle brings: the derived components, and the checked configuration.

import { apps, audit, config, gates } from "./bundle.js";

/** A derived component: its glue, and its core modules by name. */
export interface Derived {
  instantiate: Instantiate;
  modules: Record<string, WebAssembly.Module>;
  /** What the tables of its modules take at the start, as the server counts it. */
  tableBytes: number;
  /** The fuel that its modules may use while they start, if they count it. */
  startLimit?: bigint;
}

export type Instantiate = (
  getCoreModule: (path: string) => WebAssembly.Module,
  imports: Record<string, unknown>,
  instantiateCore: (module: WebAssembly.Module, imports: WebAssembly.Imports) => WebAssembly.Instance,
) => unknown;

export interface Client {
  name: string;
  tokenSha256: string;
  groups: string[];
}

/** Durations are milliseconds, sizes bytes; fuel and gas are decimal text. */
export interface Limits {
  fuel: string;
  gas: string;
  deadlineMs: number;
  hostWaitMs: number;
  hostCalls: number;
  hostCallBytes: number;
  headerBytes: number;
  memoryBytes: number;
  requestBodyBytes: number;
  responseBodyBytes: number;
  outgoingRequests: number;
  logLines: number;
  logLineBytes: number;
}

export interface Grants {
  http: { allow: string[] } | null;
  keyvalue: Record<string, "memory" | "sqlite">;
  config: Record<string, string> | null;
  environment: Record<string, string>;
}

export interface App {
  name: string;
  /** The blake3 digest of the signed component. */
  component: string;
  /** Where the derived component stands in `apps`; null for an app that is an origin. */
  derived: number | null;
  origin: string | null;
  handler: "wasi:http/incoming-handler@0.2" | "wasi:http/handler@0.3" | null;
  limits: Limits;
  grants: Grants;
}

/** The gate's configuration, in JSON: 64-bit numbers are decimal text, and the policy is text. */
export interface GateSetting {
  policy: string;
  quotas: {
    bucket: { name: string; unit: "requests" | "gas"; quota: string; window: string };
    key: ("tenant" | "app" | "route" | "actor" | "client-address")[];
    reserve: string;
  }[];
  routes: { route: string; buckets: string[] }[];
  store: string;
}

export interface Tenant {
  name: string;
  /** Where its gate's derived composition stands in `gates`. */
  gate: number;
  gateConfig: GateSetting;
  clients: Client[];
  concurrentRequests: number;
  /** Bytes that each store of the tenant's apps may hold. */
  storageBytes: number;
  /** How long a count can be in debt: after that time, nobody needs it. */
  longestDebtMs: number;
  apps: App[];
}

export interface Route {
  tenant: number;
  name: string;
  host: { kind: "exact" | "below"; name: string } | { kind: "any" };
  path: string;
  methods: string[];
  app: number;
  headers: string[];
  failure: "closed" | "open";
}

/** What gas is charged around what apps count by themselves. 64-bit numbers are decimal text. */
export interface GasSetting {
  schedule: string;
  fuel: string;
  instance: string;
  memoryPage: string;
  /** By interface, without its version. */
  calls: Record<string, { base: string; perByte: string }>;
}

export interface Config {
  origin: string;
  tenants: Tenant[];
  routes: Route[];
  /** Null when nobody counts gas. */
  gas: GasSetting | null;
}

interface Site {
  gates: Derived[];
  apps: Derived[];
  audit: Derived;
  config: Config;
}

export const site: Site = { gates, apps, audit, config };
