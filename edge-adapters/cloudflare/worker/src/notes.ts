// The open book of one tenant: a note of each request that was let in and has no record yet, and records that the log
// has not taken yet. In the object's database, so that a request is recorded also when the object was moved or stopped.

import type { Charge, Entry, Facts } from "./contract.ts";

/** A request that was let in. */
export interface Note {
  facts: Facts;
  policies: string[];
  charges: Charge[];
  unchecked: boolean;
  /** When it was let in: Unix milliseconds. */
  since: number;
}

export class Notes {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    this.#sql.exec(
      `CREATE TABLE IF NOT EXISTS notes (request TEXT PRIMARY KEY, since INTEGER NOT NULL, note TEXT NOT NULL) WITHOUT ROWID;
       CREATE TABLE IF NOT EXISTS owed (request TEXT PRIMARY KEY, entry TEXT NOT NULL) WITHOUT ROWID;`,
    );
  }

  /** How many requests were let in and are not settled. */
  running(): number {
    return Number(this.#sql.exec("SELECT count(*) AS n FROM notes").one()["n"]);
  }

  add(note: Note): void {
    this.#sql.exec("INSERT INTO notes (request, since, note) VALUES (?, ?, ?)", note.facts.requestId, note.since, written(note));
  }

  /** The note of a request, which is settled now; undefined if it is settled already. */
  take(request: string): Note | undefined {
    const [row] = this.#sql.exec("DELETE FROM notes WHERE request = ? RETURNING note", request).toArray();
    return row === undefined ? undefined : read<Note>(row["note"]);
  }

  /** Notes from before that time. */
  since(milliseconds: number): Note[] {
    const rows = this.#sql.exec("SELECT note FROM notes WHERE since < ? ORDER BY since", milliseconds).toArray();
    return rows.map((row) => read<Note>(row["note"]));
  }

  /** Keeps a record until the log has it. */
  owe(entry: Entry): void {
    this.#sql.exec("INSERT OR REPLACE INTO owed (request, entry) VALUES (?, ?)", entry.requestId, written(entry));
  }

  owed(): Entry[] {
    return this.#sql.exec("SELECT entry FROM owed ORDER BY request").toArray().map((row) => read<Entry>(row["entry"]));
  }

  /** The log has it. */
  paid(request: string): void {
    this.#sql.exec("DELETE FROM owed WHERE request = ?", request);
  }
}

/** JSON, in which a 64-bit number is an object of its own. */
function written(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? { u64: inner.toString() } : inner));
}

function read<T>(text: unknown): T {
  return JSON.parse(String(text), (_, inner: unknown) => {
    const wrapped = typeof inner === "object" && inner !== null && Object.keys(inner).join() === "u64";
    return wrapped ? BigInt((inner as { u64: string }).u64) : inner;
  }) as T;
}
