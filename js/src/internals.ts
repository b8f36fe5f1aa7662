/** What the tests look at beside the API; no part of the package. */

export { Core } from './core';
export { hashOf, sha1 } from './hash';
export { Listener } from './mirror';
export { checkKey, find, fromJson, put, toExport, toJson } from './node';
export { compareKeys } from './order';
export { EVERYTHING, Query } from './query';
export { Window } from './window';
export { Heard } from './transport';
