// Signs checkpoints with the log's key. The contract's signer answers at once, so this is the platform's synchronous
// Ed25519 (`node:crypto`, native code), and not WebCrypto, whose signatures come later.

import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";

/** The signature type Ed25519 of C2SP signed-note. */
const ED25519 = 1;

export class Signer {
  readonly #key: KeyObject;
  /** The public key as a C2SP signed-note verifier key. */
  readonly verifierKey: string;

  /** `pem` is a PKCS#8 private key. */
  constructor(pem: string, origin: string) {
    this.#key = createPrivateKey(pem);
    if (this.#key.asymmetricKeyType !== "ed25519") throw new Error("the log's key is no Ed25519 key");
    const { x } = createPublicKey(this.#key).export({ format: "jwk" });
    const typed = Buffer.concat([Buffer.of(ED25519), Buffer.from(x ?? "", "base64url")]);
    const id = createHash("sha256").update(`${origin}\n`).update(typed).digest("hex").slice(0, 8);
    this.verifierKey = `${origin}+${id}+${typed.toString("base64")}`;
  }

  /** An Ed25519 signature (RFC 8032). */
  sign(text: Uint8Array): Uint8Array {
    return new Uint8Array(sign(null, text, this.#key));
  }
}
