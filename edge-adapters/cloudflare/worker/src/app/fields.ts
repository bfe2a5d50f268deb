// Header fields as a guest has them: `wasi:http/types.fields`, the same in 0.2 and 0.3.

import { Failed } from "./work.ts";

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Fields that a guest may neither set nor see: those of one connection (the server's engine has the same list). */
const FORBIDDEN = ["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "transfer-encoding", "upgrade", "host", "http2-settings"];

export class Fields {
  static readonly hostOnly = ["received", "frozen", "headers"];
  #list: [string, Uint8Array][] = [];
  #fixed = false;
  static mostBytes = 64 << 10;

  static fromList(entries: [string, Uint8Array][]): Fields {
    const fields = new this();
    for (const [name, value] of entries) fields.append(name, value);
    return fields;
  }
  /** What came from outside. It can't be changed. */
  static received(headers: Headers, without: (name: string) => boolean): Fields {
    const fields = new this();
    const encoder = new TextEncoder();
    for (const [name, value] of headers) {
      if (!without(name)) fields.#list.push([name, encoder.encode(value)]);
    }
    return fields.frozen();
  }
  frozen(): Fields {
    this.#fixed = true;
    return this;
  }

  get(name: string): Uint8Array[] {
    const wanted = name.toLowerCase();
    return this.#list.filter(([known]) => known === wanted).map(([, value]) => value);
  }
  has(name: string): boolean {
    return this.get(name).length > 0;
  }
  set(name: string, values: Uint8Array[]): void {
    const checked = values.map((value) => this.#checked(name, value));
    this.#list = this.#list.filter(([known]) => known !== name.toLowerCase());
    this.#list.push(...checked);
    this.#bounded();
  }
  append(name: string, value: Uint8Array): void {
    this.#list.push(this.#checked(name, value));
    this.#bounded();
  }
  delete(name: string): void {
    this.#changeable(name);
    this.#list = this.#list.filter(([known]) => known !== name.toLowerCase());
  }
  getAndDelete(name: string): Uint8Array[] {
    const values = this.get(name);
    this.delete(name);
    return values;
  }
  entries(): [string, Uint8Array][] {
    return this.#list.map(([name, value]) => [name, value]);
  }
  copyAll(): [string, Uint8Array][] {
    return this.entries();
  }
  clone(): Fields {
    const copy = new (this.constructor as typeof Fields)();
    copy.#list = this.entries();
    return copy;
  }

  /** As the platform has them. A value that is no text is not valid HTTP here. */
  headers(): Headers {
    const headers = new Headers();
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      for (const [name, value] of this.#list) headers.append(name, decoder.decode(value));
    } catch {
      throw new Failed("bad-response");
    }
    return headers;
  }

  #checked(name: string, value: Uint8Array): [string, Uint8Array] {
    this.#changeable(name);
    if (value.some((byte) => (byte < 0x20 && byte !== 0x09) || byte === 0x7f)) throw { tag: "invalid-syntax" };
    return [name.toLowerCase(), value.slice()];
  }
  #changeable(name: string): void {
    if (this.#fixed) throw { tag: "immutable" };
    if (!TOKEN.test(name)) throw { tag: "invalid-syntax" };
    if (FORBIDDEN.includes(name.toLowerCase())) throw { tag: "forbidden" };
  }
  #bounded(): void {
    const bytes = this.#list.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    if (bytes > Fields.mostBytes) throw { tag: "forbidden" };
  }
}
