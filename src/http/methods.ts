/** Which methods a path takes: for 405 with `Allow`, and for OPTIONS. */
import type { Operation } from '../contract/operation.ts';

interface PathMethods {
  pattern: RegExp;
  methods: string[];
}

export class MethodTable {
  readonly #paths: PathMethods[];

  constructor(operations: Iterable<Operation>) {
    const byPath = new Map<string, Set<string>>();
    for (const { path, method } of operations) {
      const methods = byPath.get(path) ?? new Set();
      methods.add(method);
      if (method === 'GET') methods.add('HEAD');
      byPath.set(path, methods);
    }
    this.#paths = [...byPath].map(([path, methods]) => ({
      pattern: new RegExp(`^${escapeRegExp(path).replaceAll(/\\\{\w+\\\}/g, '[^/]+')}$`),
      methods: [...methods, 'OPTIONS'],
    }));
  }

  /** The methods that the path of a URL takes; empty where nothing has this path. */
  allowed(url: string): string[] {
    const [path = '/'] = url.split('?', 1);
    const methods = this.#paths.filter(({ pattern }) => pattern.test(path)).flatMap((p) => p.methods);
    return [...new Set(methods)];
  }
}

const escapeRegExp = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
