"""Queries: what may be asked of the children of a place, in which order they stand, and what of them a client must be told.

For the protocols: `parse_query(spec)` reads the realtime protocol's `q`, `parse_parameters(parameters)` the `orderBy`, `startAt`
and so on of REST; both give a frozen, hashable `Query`, or None where everything is asked for in the order that needs no asking.
Commands (`Get`, `Listen`, `Unlisten`) carry that. `query.identity` is one text for all ways of asking the same, `query.index`
what `.indexOn` would have to name ("" if nothing), and `index_missing(path, query)` the refusal in the words that clients know.

For the engine: an `Index` keeps the children of one place sorted, and a `KeyIndex` does without where the map is; a `Window` is
the part of it that one query shows, and `Window.advance` says what a change of some children means for it; `Sightings` finds
the windows that one may concern. Knows no clients, no databases, no bytes.
"""

from meadowlark.query.index import Index, Touched
from meadowlark.query.key_index import AnyIndex, KeyIndex
from meadowlark.query.parameters import PARAMETERS, parse_parameters
from meadowlark.query.positions import KEY, Position, position_reader
from meadowlark.query.query import Query, index_missing, parse_query
from meadowlark.query.sightings import Sightings
from meadowlark.query.window import Step, Window

__all__ = [
    "KEY",
    "PARAMETERS",
    "AnyIndex",
    "Index",
    "KeyIndex",
    "Position",
    "Query",
    "Sightings",
    "Step",
    "Touched",
    "Window",
    "index_missing",
    "parse_parameters",
    "parse_query",
    "position_reader",
]
