/** What part of a place is asked for: an order, a range in it, a limit. Immutable; two that ask for the same have the same `id`. */

import { Json, Node, Path, parsePath } from './node';
import { Position, classify, compareKeys, compareValues, position } from './order';

const MIN_NAME = '[MIN_NAME]';
const MAX_NAME = '[MAX_NAME]';

/** The protocol's words for a query. */
export interface Spec { i?: string; sp?: Json; sn?: string; sin?: boolean; ep?: Json; en?: string; ein?: boolean; l?: number; vf?: 'l' | 'r' }

export class Query {
  readonly order: string;
  readonly limit: number | undefined;
  readonly fromEnd: boolean;
  private readonly path: Path;
  private readonly start: Position | null;
  private readonly end: Position | null;

  constructor(readonly spec: Spec) {
    this.order = spec.i ?? '.priority';
    this.path = this.order.startsWith('.') ? [] : parsePath(this.order);
    this.limit = spec.l;
    this.fromEnd = spec.vf === 'r';
    this.start = 'sp' in spec ? this.bound(spec.sp, spec.sn ?? MIN_NAME) : null;
    this.end = 'ep' in spec ? this.bound(spec.ep, spec.en ?? MAX_NAME) : null;
  }

  get id(): string {
    const { i, sp, sn, sin, ep, en, ein, l, vf } = this.spec;
    return JSON.stringify([i ?? '', 'sp' in this.spec ? [sp, sn ?? '', sin ?? true] : 0, 'ep' in this.spec ? [ep, en ?? '', ein ?? true] : 0, l ?? 0, vf ?? '']);
  }

  /** Whether anything may be left out. */
  get filters(): boolean {
    return this.start !== null || this.end !== null || this.limit !== undefined;
  }

  position(key: string, node: Node): Position {
    return position(this.order, this.path, key, node);
  }

  contains(place: Position): boolean {
    if (this.start) {
      const side = compareToBound(place, this.start);
      if (side < 0 || (side === 0 && this.spec.sin === false)) return false;
    }
    if (this.end) {
      const side = compareToBound(place, this.end);
      if (side > 0 || (side === 0 && this.spec.ein === false)) return false;
    }
    return true;
  }

  private bound(value: Json, key: string): Position {
    return this.order === '.key' ? { rank: 0, value: 0, key: value as string } : classify(value, key);
  }
}

function compareToBound(place: Position, bound: Position): number {
  const side = compareValues(place, bound);
  if (side || bound.key === MIN_NAME) return side || 1;
  return bound.key === MAX_NAME ? -1 : compareKeys(place.key, bound.key);
}

export const EVERYTHING = new Query({});
export { MAX_NAME, MIN_NAME };
