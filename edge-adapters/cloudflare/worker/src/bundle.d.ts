// `bundle.js` is made by the bundler, beside `worker.js`.

import type { Config, Derived } from "./site.ts";

export const gates: Derived[];
export const apps: Derived[];
export const audit: Derived;
export const config: Config;
