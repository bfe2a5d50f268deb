// Who answers for which host and path: the most specific host that has a route, then the longest path. The bundler has
// checked the table; collisions never get here.

import type { Config, Route } from "./site.ts";

/** The routes of one configuration, longest paths first. */
export class Routes {
  readonly #exact = new Map<string, Route[]>();
  readonly #below = new Map<string, Route[]>();
  readonly #any: Route[] = [];

  constructor(config: Config) {
    const longestFirst = [...config.routes].sort((a, b) => b.path.length - a.path.length);
    for (const route of longestFirst) this.#listOf(route).push(route);
  }

  /** The route for a request. */
  find(host: string, path: string, method: string): Route | undefined {
    const exact = pick(this.#exact.get(host), path, method);
    if (exact !== undefined) return exact;
    for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
      const below = pick(this.#below.get(host.slice(dot + 1)), path, method);
      if (below !== undefined) return below;
    }
    return pick(this.#any, path, method);
  }

  #listOf(route: Route): Route[] {
    if (route.host.kind === "any") return this.#any;
    const map = route.host.kind === "exact" ? this.#exact : this.#below;
    const list = map.get(route.host.name) ?? [];
    map.set(route.host.name, list);
    return list;
  }
}

function pick(routes: Route[] | undefined, path: string, method: string): Route | undefined {
  return routes?.find((route) => {
    const below = path.startsWith(route.path) && (route.path === "" || [undefined, "/"].includes(path[route.path.length]));
    return below && (route.methods.length === 0 || route.methods.includes(method));
  });
}
