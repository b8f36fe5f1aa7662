/** The orders of children: by key, and by a value of each child with the key deciding between equals. */

import { Leaf, Node, NodeMap, Path, childOf, find, isMap, keysOf, leafOf, priorityOf } from './node';

const INTEGER = /^-?0*\d{1,10}$/;

/** Keys that look like 32-bit integers come first, by number, then by length; all others by UTF-16 code unit. */
export function compareKeys(one: string, other: string): number {
  if (one === other) return 0;
  const a = integer(one), b = integer(other);
  if (a !== null && b !== null) return a - b || one.length - other.length || (one < other ? -1 : 1);
  if (a !== null) return -1;
  if (b !== null) return 1;
  return one < other ? -1 : 1;
}

function integer(key: string): number | null {
  if (!INTEGER.test(key)) return null;
  const number = Number(key);
  return number >= -2147483648 && number <= 2147483647 ? number : null;
}

/** The keys of the children by priority, then by key. */
export function inOrder(node: NodeMap): string[] {
  const places = keysOf(node).map((key) => classify(priorityOf(node[key]!), key));
  return places.sort(comparePositions).map((place) => place.key);
}

/** Where a child stands. */
export interface Position { readonly rank: number; readonly value: Leaf; readonly key: string }

export function position(order: string, path: Path, key: string, node: Node): Position {
  switch (order) {
    case '.key': return { rank: 0, value: 0, key };
    case '.priority': return classify(priorityOf(node), key);
    case '.value': return classify(node, key);
    default: return classify(path.length === 1 ? childOf(node, path[0]!) : find(node, path), key);
  }
}

/** Nothing, false, true, numbers, strings, maps. */
export function classify(node: Node | null, key: string): Position {
  if (isMap(node)) return { rank: 5, value: 0, key };
  const leaf = leafOf(node);
  if (leaf === null) return { rank: 0, value: 0, key };
  if (typeof leaf === 'boolean') return { rank: leaf ? 2 : 1, value: 0, key };
  return { rank: typeof leaf === 'number' ? 3 : 4, value: leaf, key };
}

export function comparePositions(one: Position, other: Position): number {
  return compareValues(one, other) || compareKeys(one.key, other.key);
}

export function compareValues(one: Position, other: Position): number {
  return one.rank - other.rank || (one.value < other.value ? -1 : one.value > other.value ? 1 : 0);
}
