/** What the tests look at beside the API; no part of the package. */

export { hashOf, sha1 } from './hash';
export { find, fromJson, put, toExport, toJson } from './node';
export { compareKeys } from './order';
export { Query } from './query';
export { Window } from './window';
export { Heard } from './transport';
