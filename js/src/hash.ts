/** The hash by which a client says what it has: SHA-1 in base64 over a text of the node. Synchronous, so it is written out here. */

import { Leaf, Node, isMap, leafOf, priorityOf } from './node';
import { inOrder } from './order';

/** "" for nothing. */
export function hashOf(node: Node | null): string {
  if (node === null) return '';
  const priority = priorityOf(node);
  let text = priority === null ? '' : `priority:${leafText(priority)}:`;
  if (isMap(node)) {
    for (const key of inOrder(node)) text += `:${key}:${hashOf(node[key]!)}`;
  } else {
    text += leafText(leafOf(node)!);
  }
  return base64(sha1(new TextEncoder().encode(text)));
}

function leafText(leaf: Leaf): string {
  if (typeof leaf !== 'number') return `${typeof leaf}:${leaf}`;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, leaf);
  return `number:${hex(view.getUint32(0))}${hex(view.getUint32(4))}`;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** FIPS 180-4. */
export function sha1(data: Uint8Array): Uint8Array {
  const size = ((data.length + 8) >> 6) + 1;
  const block = new Uint8Array(size * 64);
  block.set(data);
  block[data.length] = 0x80;
  const view = new DataView(block.buffer);
  view.setUint32(block.length - 8, Math.floor(data.length / 0x20000000));
  view.setUint32(block.length - 4, data.length << 3);
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]);
  const words = new Uint32Array(80);
  for (let start = 0; start < block.length; start += 64) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(start + i * 4);
    for (let i = 16; i < 80; i++) words[i] = rotate(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1);
    let [a, b, c, d, e] = state as unknown as [number, number, number, number, number];
    for (let i = 0; i < 80; i++) {
      const [mix, constant] = i < 20 ? [(b & c) | (~b & d), 0x5a827999] : i < 40 ? [b ^ c ^ d, 0x6ed9eba1]
        : i < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc] : [b ^ c ^ d, 0xca62c1d6];
      [a, b, c, d, e] = [(rotate(a, 5) + mix + e + constant + words[i]!) | 0, a, rotate(b, 30), c, d];
    }
    [a, b, c, d, e].forEach((word, i) => { state[i]! += word; });
  }
  const digest = new DataView(new ArrayBuffer(20));
  state.forEach((word, i) => digest.setUint32(i * 4, word));
  return new Uint8Array(digest.buffer);
}

function rotate(word: number, count: number): number {
  return (word << count) | (word >>> (32 - count));
}
