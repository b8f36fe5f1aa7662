// Keys and strings in any script.
import { get, onChildAdded, onValue, ref, runTransaction, set, update } from 'firebase/database';
import { fault, play, say, settled, settings } from './lib.mjs';

const texts = settings.texts;

await play({
  async strings({ a, b, at }) {
    await set(at(a), Object.fromEntries(texts.map((text, index) => [`t${index}`, text])));
    const value = (await get(at(b))).val();
    say('differ', texts.filter((text, index) => value[`t${index}`] !== text));
  },
  async keys({ a, b, at }) {
    await set(at(a), Object.fromEntries(texts.map((text, index) => [text, index])));
    const value = (await get(at(b))).val();
    say('differ', texts.filter((text, index) => value[text] !== index), Object.keys(value).length);
  },
  async paths({ a, b, at }) {
    const heard = [];
    for (const [index, text] of texts.entries()) onValue(at(b, `${text}/below`), (snapshot) => { if (snapshot.exists()) heard.push([index, snapshot.val()]); });
    await settled(b);
    for (const [index, text] of texts.entries()) await set(at(a, `${text}/below`), text);
    await settled(b);
    say('heard', heard.length, texts.filter((text, index) => heard[index]?.[1] !== text));
  },
  async updates({ a, b, at }) {
    await update(at(a), Object.fromEntries(texts.map((text, index) => [`${text}/x`, index])));
    const value = (await get(at(b))).val();
    say('differ', texts.filter((text, index) => value[text]?.x !== index));
  },
  async order({ a, b, at }) {
    await set(at(a), Object.fromEntries(texts.map((text) => [text, 1])));
    const keys = [];
    onChildAdded(at(b), (snapshot) => keys.push(snapshot.key));
    await settled(b);
    say('keys', keys);
  },
  async transactions({ a, b, at }) {
    await set(at(b), Object.fromEntries(texts.map((text) => [text, text])));
    await new Promise((resolve) => onValue(at(a), resolve));
    let runs = 0;
    const result = await runTransaction(at(a), (current) => { runs++; return { ...current, more: 1 }; });
    say('result', result.committed, runs, Object.keys(result.snapshot.val()).length - texts.length);
  },
  async half_a_surrogate_pair_harms_nobody({ a, b, at }) {
    await set(at(a, 'good'), 'before').then(() => say('before'));
    await set(at(a, 'bad'), 'lone \ud800 half').then(() => say('stored'), (error) => say('refused', fault(error)));
    await set(at(a, 'good'), 'after');
    say('value', (await get(at(b, 'good'))).val(), a === b);
  },
});
