/** The children that a query shows of a node, kept in order, and what changes when the node does. */

import { Node, NodeMap, childOf, isSame, keysOf, newMap } from './node';
import { Position, comparePositions } from './order';
import { Query } from './query';

export interface Row { readonly key: string; readonly node: Node; readonly place: Position }

/** Removed as they were; the others as they are. Each in the query's order. */
export interface Changes { removed: Row[]; added: Row[]; moved: Row[]; changed: Row[] }

export class Window {
  /** All in range, in order; what is shown is a part from one end. */
  private sorted: Row[] = [];
  private inRange = new Map<string, Row>();
  private shown = new Map<string, Row>();

  constructor(private readonly query: Query) {}

  rows(): Row[] {
    const { limit, fromEnd } = this.query;
    if (limit === undefined) return this.sorted;
    return fromEnd ? this.sorted.slice(-limit) : this.sorted.slice(0, limit);
  }

  /** The key shown before `row`; null if it is the first. */
  previous(row: Row): string | null {
    const { limit, fromEnd } = this.query;
    const first = limit !== undefined && fromEnd ? Math.max(0, this.sorted.length - limit) : 0;
    const at = this.search(row.place);
    return at > first ? this.sorted[at - 1]!.key : null;
  }

  /** touched: the only children that may differ; null: any may. */
  update(node: Node | null, touched: Set<string> | null): Changes {
    if (touched === null) this.rebuild(node);
    else for (const key of touched) this.replace(key, childOf(node, key));
    const before = this.shown;
    const isLimited = this.query.limit !== undefined;
    if (touched !== null && !isLimited) return this.compareTouched(touched);
    this.shown = new Map(this.rows().map((row) => [row.key, row]));
    return compare(new Set([...before.keys(), ...this.shown.keys()]), before, this.shown);
  }

  /** `node` with only what is shown of it. A part has no priority. */
  visible(node: Node | null): Node | null {
    if (!this.query.filters) return node;
    if (!this.shown.size) return null;
    const made: NodeMap = newMap();
    for (const [key, row] of this.shown) made[key] = row.node;
    return made;
  }

  private compareTouched(touched: Set<string>): Changes {
    const before = new Map<string, Row>(), after = new Map<string, Row>();
    for (const key of touched) {
      const old = this.shown.get(key), row = this.inRange.get(key);
      if (old) before.set(key, old);
      if (row) { after.set(key, row); this.shown.set(key, row); } else this.shown.delete(key);
    }
    return compare(touched, before, after);
  }

  private rebuild(node: Node | null): void {
    this.inRange = new Map();
    for (const key of keysOf(node)) {
      const row = this.row(key, childOf(node, key)!);
      if (row) this.inRange.set(key, row);
    }
    this.sorted = [...this.inRange.values()].sort((a, b) => comparePositions(a.place, b.place));
  }

  private replace(key: string, child: Node | null): void {
    const old = this.inRange.get(key), row = child === null ? null : this.row(key, child);
    if (old) {
      const at = this.search(old.place);
      if (row && comparePositions(old.place, row.place) === 0) {
        this.sorted[at] = row;
        this.inRange.set(key, row);
        return;
      }
      this.sorted.splice(at, 1);
      this.inRange.delete(key);
    }
    if (row) {
      this.sorted.splice(this.search(row.place), 0, row);
      this.inRange.set(key, row);
    }
  }

  private row(key: string, node: Node): Row | null {
    const place = this.query.position(key, node);
    return this.query.contains(place) ? { key, node, place } : null;
  }

  /** Where `place` is, or would be. */
  private search(place: Position): number {
    let low = 0, high = this.sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (comparePositions(this.sorted[middle]!.place, place) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function compare(keys: Iterable<string>, before: Map<string, Row>, after: Map<string, Row>): Changes {
  const changes: Changes = { removed: [], added: [], moved: [], changed: [] };
  for (const key of keys) {
    const old = before.get(key), row = after.get(key);
    if (old === row) continue;
    if (!row) { changes.removed.push(old!); continue; }
    if (!old) { changes.added.push(row); continue; }
    if (comparePositions(old.place, row.place) !== 0) changes.moved.push(row);
    if (!isSame(old.node, row.node)) changes.changed.push(row);
  }
  for (const rows of [changes.removed, changes.added, changes.moved, changes.changed]) rows.sort((a, b) => comparePositions(a.place, b.place));
  return changes;
}
