// Which header fields pass, and which are of one connection or the host's alone: the server's `headers.rs`.

const HOP_BY_HOP = [
  "connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
];

/** Headers that say where a request came from, besides `x-forwarded-…`. A client's are dropped; the host sets its own. */
const FORWARDED = [
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
];

/** The length that a message announces; undefined when it announces none, or not one number. */
export function contentLength(headers: Headers): number | undefined {
  const text = headers.get("content-length");
  if (text === null || !/^\d{1,15}$/.test(text)) return undefined;
  return Number(text);
}

/** Drops the fields of one connection (RFC 9110, section 7.6.1), those that `connection` names included. */
export function dropHopByHop(headers: Headers): void {
  const named = (headers.get("connection") ?? "").split(",").map((name) => name.trim());
  for (const name of named) {
    if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) headers.delete(name);
  }
  for (const name of HOP_BY_HOP) headers.delete(name);
}

/** Drops what only the host writes. */
export function dropOurs(headers: Headers): void {
  dropAll(headers, (name) => name.startsWith("tollgate-"));
}

/** Drops what neither the gate nor the app may see of a client's headers: those of its connection, those that pretend
 * to come from the host, and those that the platform adds (`cf-…`), which no server would have. */
export function cleanRequestHeaders(headers: Headers): void {
  dropHopByHop(headers);
  dropOurs(headers);
  dropAll(headers, (name) => name.startsWith("x-forwarded-") || name.startsWith("cf-"));
  for (const name of FORWARDED) headers.delete(name);
}

function dropAll(headers: Headers, wanted: (name: string) => boolean): void {
  for (const name of [...headers.keys()].filter(wanted)) headers.delete(name);
}
