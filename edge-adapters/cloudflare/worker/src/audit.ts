// The audit log, in one Durable Object: a log has one order, so it has one writer. Records that come together are
// appended together, under one signed checkpoint, in one transaction; each call returns once that is stored.

import { DurableObject } from "cloudflare:workers";
import type { AuditLog, Entry } from "./contract.ts";
import { instantiate, returnedError } from "./derived.ts";
import type { Env } from "./env.ts";
import { keyvalueImports, Store } from "./keyvalue.ts";
import { Signer } from "./signer.ts";
import { site } from "./site.ts";

const STORE = "log";

/** Records of one append, and records that wait. Whoever comes when as many wait is told that the book is behind. */
const BATCH_MOST = 256;
const WAITING_MOST = 10_000;

/** How long it is known that a request has its record, so that one that is sent twice is written once. */
const KNOWN_MS = 86_400_000;

interface Waiting {
  entry: Entry;
  done: () => void;
  failed: (error: Error) => void;
}

export class Audit extends DurableObject<Env> {
  readonly #store: Store;
  readonly #waiting: Waiting[] = [];
  #log: AuditLog | undefined;
  #flushing = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new Store(ctx.storage, STORE);
    ctx.storage.sql.exec(
      `CREATE TABLE IF NOT EXISTS known (request TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
       CREATE INDEX IF NOT EXISTS known_since ON known (since);`,
    );
  }

  /** Appends a record. When this returns, the log has it. */
  async append(entry: Entry): Promise<void> {
    if (this.#waiting.length >= WAITING_MOST) throw new Error("the audit log is behind");
    const written = new Promise<void>((done, failed) => this.#waiting.push({ entry, done, failed }));
    if (!this.#flushing) {
      this.#flushing = true;
      // After what else has arrived: it goes into the same append.
      setTimeout(() => this.#flush(), 0);
    }
    await written;
  }

  /** One file of the log, by its key in C2SP tlog-tiles. */
  read(key: string): Uint8Array | undefined {
    return this.#store.get(key);
  }

  #flush(): void {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, BATCH_MOST);
      try {
        this.#write(batch.map(({ entry }) => entry));
        batch.forEach(({ done }) => done());
      } catch (error) {
        console.error("the audit log can't be written:", error);
        // What the instance knows of the log may not be what is stored.
        this.#log = undefined;
        batch.forEach(({ failed }) => failed(new Error("the audit log can't be written")));
      }
    }
    this.#flushing = false;
  }

  #write(entries: Entry[]): void {
    const sql = this.ctx.storage.sql;
    const now = Date.now();
    this.ctx.storage.transactionSync(() => {
      sql.exec("DELETE FROM known WHERE since < ?", now - KNOWN_MS);
      const fresh = entries.filter(({ requestId }) => {
        const query = "INSERT OR IGNORE INTO known (request, since) VALUES (?, ?) RETURNING request";
        return sql.exec(query, requestId, now).toArray().length > 0;
      });
      if (fresh.length === 0) return;
      try {
        this.#opened().append(fresh);
      } catch (thrown) {
        throw new Error(JSON.stringify(returnedError(thrown)?.payload ?? String(thrown)));
      }
    });
  }

  #opened(): AuditLog {
    if (this.#log !== undefined) return this.#log;
    const signer = new Signer(this.env.AUDIT_KEY, site.config.origin);
    const imports = {
      ...keyvalueImports(STORE, this.#store),
      "tollgate:platform/signer": {
        verifierKey: () => signer.verifierKey,
        sign: (text: Uint8Array) => signer.sign(text),
      },
    };
    const { exports } = instantiate<Record<string, AuditLog>>(site.audit, imports);
    const log = exports["tollgate:gate/audit@0.1.0"];
    if (log === undefined) throw new Error("the audit component has no log");
    log.open(site.config.origin, STORE);
    this.#log = log;
    return log;
  }
}
