// What the gate may know of a request: the server's `facts.rs`, over a Fetch request. The texts of refusals are the
// same, so that a client can't tell the platforms apart by them.

import { createHash } from "node:crypto";
import type { Actor, Facts } from "./contract.ts";
import { unixNs } from "./contract.ts";
import { contentLength } from "./headers.ts";
import type { Client, Route, Tenant } from "./site.ts";

const MAX_PATH_BYTES = 8 << 10;
const MAX_SHOWN_HEADERS = 64;
const MAX_SHOWN_BYTES = 8 << 10;

/** A request that can't be understood; the message is for the client. */
export class Unreadable extends Error {}

/** A request that a server's listener refuses before it has an id. */
export class NotOneHost extends Unreadable {
  constructor() {
    super("the request does not name exactly one host");
  }
}

/** Where the client's address comes from: the platform's header, or one address for everybody on a machine of one's
 * own. There is no third way: any other header can be made up. */
export type AddressFrom = { header: "cf-connecting-ip" } | { fixed: string };

/** The host and path of a request, each in one spelling, and the ids that follow it everywhere. */
export interface Target {
  scheme: string;
  host: string;
  port: string | undefined;
  path: string;
  query: string | undefined;
  clientAddress: string;
  requestId: string;
  traceId: string;
  receivedAt: bigint;
}

/** Reads the target of a request. */
export function readTarget(request: Request, address: AddressFrom): Target {
  const { scheme, authority, rest } = cut(request.url);
  const { host, port } = readHost(authority, request.headers.get("host"));
  const [rawPath, query] = split(rest, "?");
  if (query !== undefined && /[^\x00-\x7f]/.test(query)) {
    throw new Unreadable("the query has a character that must be escaped");
  }
  const path = readPath(rawPath);
  return {
    scheme,
    host,
    port,
    path,
    query,
    clientAddress: readAddress(request.headers, address),
    requestId: randomId(),
    traceId: readTraceId(request.headers.get("traceparent")) ?? randomId(),
    receivedAt: unixNs(),
  };
}

/** What the app gets: scheme, host and port, path and query, all in the spelling that the gate sees. */
export function uriOf(target: Target): string {
  const port = target.port === undefined ? "" : `:${target.port}`;
  const query = target.query === undefined ? "" : `?${target.query}`;
  return `${target.scheme}://${target.host}${port}${target.path}${query}`;
}

/** Leaves one valid `traceparent` in the headers, as the server does: the caller's, or one that begins the trace here. */
export function continueTrace(headers: Headers, target: Target): void {
  if (readTraceId(headers.get("traceparent")) !== undefined) return;
  headers.delete("tracestate");
  headers.set("traceparent", `00-${target.traceId}-${randomId().slice(0, 16)}-00`);
}

/** The facts of a request on a route. Its headers are those that the app will get. */
export function readFacts(method: string, headers: Headers, target: Target, tenant: Tenant, route: Route): Facts {
  const app = tenant.apps[route.app];
  const length = contentLength(headers);
  return {
    requestId: target.requestId,
    receivedAt: target.receivedAt,
    tenant: tenant.name,
    app: app?.name ?? "",
    route: route.name,
    component: app?.component ?? "",
    method,
    scheme: target.scheme,
    host: target.host,
    path: target.path,
    query: target.query,
    clientAddress: target.clientAddress,
    actor: readActor(headers.get("authorization"), tenant.clients),
    headers: readShown(headers, route.headers),
    bodyLength: length === undefined ? undefined : BigInt(length),
    traceId: target.traceId,
  };
}

function cut(url: string): { scheme: string; authority: string; rest: string } {
  const [scheme, after] = split(url, "://");
  if (after === undefined) throw new Unreadable("the target is malformed");
  const [whole] = split(after, "#");
  const end = whole.search(/[/?]/);
  const authority = end < 0 ? whole : whole.slice(0, end);
  const rest = end < 0 ? "/" : whole.slice(end);
  return { scheme, authority, rest: rest.startsWith("?") ? `/${rest}` : rest };
}

/** One spelling of the host: lower case, ASCII, without final dot; and the port, if there is one. */
function readHost(authority: string, header: string | null): { host: string; port: string | undefined } {
  if (header !== null && header.toLowerCase() !== authority.toLowerCase()) {
    throw new NotOneHost();
  }
  const found = /^(\[[0-9A-Fa-f:.]+\]|[!$&'()*+,;=%_~.0-9A-Za-z-]+)(?::(\d{0,5}))?$/.exec(authority);
  if (found?.[1] === undefined || Number(found[2] ?? 0) > 65_535) throw new NotOneHost();
  const name = found[1].replace(/\.$/, "").toLowerCase();
  if (name.split(".").some((label) => label === "") || name.length > 255) {
    throw new Unreadable("the host is malformed");
  }
  return { host: name, port: found[2] === "" ? undefined : found[2] };
}

/** One spelling of the path (RFC 3986, section 6.2.2): unreserved characters decoded, escapes in upper case, dot
 * segments and empty segments removed, no escaped slash. */
export function readPath(text: string): string {
  if (new TextEncoder().encode(text).length > MAX_PATH_BYTES) throw new Unreadable("the path is too long");
  if (!text.startsWith("/")) throw new Unreadable("the path does not begin with a slash");
  let plain = "";
  for (let at = 0; at < text.length; at++) {
    const letter = text.charAt(at);
    if (letter === "%") {
      const digits = text.slice(at + 1, at + 3);
      if (!/^[0-9A-Fa-f]{2}$/.test(digits)) throw new Unreadable("the path has a malformed escape");
      plain += decoded(Number.parseInt(digits, 16));
      at += 2;
    } else if (letter === "\\") {
      throw new Unreadable("the path has a backslash");
    } else if (/[\x21-\x7e]/.test(letter)) {
      plain += letter;
    } else {
      throw new Unreadable("the path has a character that must be escaped");
    }
  }
  return withoutDotSegments(plain);
}

function decoded(byte: number): string {
  if (byte <= 0x1f || byte === 0x7f) throw new Unreadable("the path has a control character");
  const letter = String.fromCharCode(byte);
  if (byte < 0x80 && /[A-Za-z0-9._~-]/.test(letter)) return letter;
  if (letter === "\\") throw new Unreadable("the path has a backslash");
  if (letter === "/") throw new Unreadable("the path has an escaped slash");
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

/** RFC 3986, section 5.2.4; and several slashes in a row are one. */
function withoutDotSegments(path: string): string {
  const kept: string[] = [];
  let directory = false;
  for (const segment of path.split("/").slice(1)) {
    directory = segment === "" || segment === "." || segment === "..";
    if (segment === "..") kept.pop();
    else if (!directory) kept.push(segment);
  }
  const out = kept.map((segment) => `/${segment}`).join("");
  return directory || out === "" ? `${out}/` : out;
}

function readAddress(headers: Headers, from: AddressFrom): string {
  if ("fixed" in from) return from.fixed;
  const text = headers.get(from.header);
  if (text === null || !/^[0-9A-Fa-f:.]{2,45}$/.test(text)) {
    throw new Unreadable("the client's address is not known");
  }
  // An IPv4 address in IPv6 form is that IPv4 address.
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text);
  return mapped?.[1] ?? text.toLowerCase();
}

/** The trace id of a W3C `traceparent` header, if it is well formed and only one. */
function readTraceId(text: string | null): string | undefined {
  const found = /^([0-9a-f]{2})-([0-9a-f]{32})(?:-[^,]*)?$/.exec(text ?? "");
  if (found?.[2] === undefined || found[1] === "ff" || /^0+$/.test(found[2])) return undefined;
  return found[2];
}

/** Who asks, by the bearer token (RFC 6750). Tokens are told apart by their hash. */
function readActor(authorization: string | null, clients: Client[]): Actor {
  const anonymous: Actor = { id: "anonymous", kind: "anonymous", groups: [] };
  const [scheme, token] = split(authorization ?? "", " ");
  if (clients.length === 0 || token === undefined || scheme.toLowerCase() !== "bearer") return anonymous;
  const hash = createHash("sha256").update(token.trim(), "utf8").digest("hex");
  const client = clients.find((client) => client.tokenSha256 === hash);
  return client === undefined ? anonymous : { id: client.name, kind: "client", groups: client.groups };
}

/** The headers that the route's policies may see: all of them, whole, in normal form C. */
function readShown(headers: Headers, names: string[]): [string, string][] {
  const shown: [string, string][] = [];
  for (const name of names) {
    const value = headers.get(name);
    if (value === null) continue;
    if (value.includes("\ufffd")) throw new Unreadable("a header that policies see is not UTF-8");
    if (new TextEncoder().encode(value).length > MAX_SHOWN_BYTES || shown.length === MAX_SHOWN_HEADERS) {
      throw new Unreadable("the headers that policies see are too long or too many");
    }
    shown.push([name, value.normalize("NFC")]);
  }
  return shown;
}

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function split(text: string, at: string): [string, string | undefined] {
  const found = text.indexOf(at);
  return found < 0 ? [text, undefined] : [text.slice(0, found), text.slice(found + at.length)];
}
