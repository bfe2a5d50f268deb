// Every status code and every text that leaves this host by itself: problem documents (RFC 9457). The same table as
// the server's `problem.rs`; a test holds each against the other.

/** A reason to answer without an app: status, code and title. */
export interface End {
  status: number;
  code: string;
  title: string;
}

const end = (status: number, code: string, title: string): End => ({ status, code, title });

export const NO_ROUTE = end(404, "no-route", "there is nothing here");
export const DENIED = end(403, "denied", "the policy denies this request");
export const LIMITED = end(429, "rate-limited", "too many requests");
export const BODY_TOO_LARGE = end(413, "body-too-large", "the request body is too large");
export const SATURATED = end(503, "saturated", "too many requests run at this time");
export const GATE_FAILED = end(503, "gate-failed", "no decision could be made");
export const BOOK_CLOSED = end(503, "audit-unavailable", "no record could be made");

/** A request that can't be understood; the text says why. */
export function unreadable(why: string): End {
  return end(400, "bad-request", why);
}

/** Why a run ended badly: the names of the server's `fault.rs` that this platform can tell. */
export type Fault =
  | "deadline"
  | "host-wait"
  | "host-calls"
  | "out-of-memory"
  | "out-of-fuel"
  | "out-of-gas"
  | "response-too-large"
  | "no-response"
  | "error-code"
  | "bad-response"
  | "exit"
  | "trap"
  | "stack-overflow"
  | "host-fault";

/** The run ended badly before it answered. */
export function faulted(fault: Fault): End {
  const status = ["deadline", "host-wait"].includes(fault) ? 504 : fault === "host-fault" ? 500 : 502;
  return end(status, fault, "the app failed to answer");
}

/** The problem document, with further headers. Without an id for a request that has none. */
export function problem(end: End, requestId: string | undefined, added: [string, string][] = []): Response {
  const document = {
    type: `https://tollgate.dev/problems/${end.code}`,
    title: end.title,
    status: end.status,
    ...(requestId === undefined ? {} : { instance: `urn:tollgate:request:${requestId}` }),
  };
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (end.status === 503) headers.set("retry-after", "1");
  for (const [name, value] of added) headers.set(name, value);
  return new Response(`${JSON.stringify(document)}\n`, { status: end.status, headers });
}
