// The largest values that the SDK sends: 16 MB in one write, strings of 10 MB, and many children.
import { get, onChildAdded, onValue, ref, set } from 'firebase/database';
import { createHash } from 'node:crypto';
import { fault, finish, open, say, settled, settings } from './lib.mjs';

const digest = (value) => createHash('sha256').update(JSON.stringify(value)).digest('hex');
const a = open('a');
const b = open('b');
const beside = open('beside');
await Promise.all([a, b, beside].map(settled));

const megabyte = 1024 * 1024;
const big = { ascii: 'x'.repeat(8 * megabyte - 64), kana: 'カ'.repeat((8 * megabyte - 64) / 3) };
say('bytes', Buffer.byteLength(JSON.stringify(big)));
const arrived = new Promise((resolve) => onValue(ref(b, 'big'), (snapshot) => { if (snapshot.exists()) resolve(snapshot.val()); }));
let started = performance.now();
await set(ref(a, 'big'), big);
say('16 MB acknowledged', Math.round(performance.now() - started));
say('16 MB heard', digest(await arrived) === digest(big), Math.round(performance.now() - started));
started = performance.now();
say('16 MB read', digest((await get(ref(beside, 'big'))).val()) === digest(big), Math.round(performance.now() - started));

const longest = 'é'.repeat(5 * megabyte);
await set(ref(a, 'longest'), longest);
say('10 MB string', (await get(ref(beside, 'longest'))).val() === longest);

const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, { n: index, text: `number ${index}` }]));
started = performance.now();
await set(ref(a, 'many'), many);
say('100,000 children acknowledged', Math.round(performance.now() - started));
let added = 0;
onChildAdded(ref(beside, 'many'), () => { added++; });
await settled(beside);
say('100,000 children heard', added);
await set(ref(a, 'many/k5/n'), -5);
say('one of them changed', (await get(ref(b, 'many/k5'))).val());
const beyond = Object.fromEntries(Array.from({ length: 3 }, (_, index) => [`part${index}`, 'x'.repeat(6 * megabyte)]));
await set(ref(a, 'beyond'), beyond).then(() => say('18 MB', 'stored'), (error) => say('18 MB', 'refused', fault(error)));
say('after it', (await get(ref(beside, 'beyond'))).exists());
await set(ref(a, 'big'), null);
await set(ref(a, 'many'), null);
await finish();
