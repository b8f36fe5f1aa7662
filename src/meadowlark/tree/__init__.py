"""The tree: paths, orders, node values, writes, hashes and the ways in and out. Knows nobody who listens or asks."""

from meadowlark.tree.decode import decode_slices
from meadowlark.tree.decode_packed import decode_packed_slices
from meadowlark.tree.export import encode, encode_slices, plain, shallow, unpacked
from meadowlark.tree.hashes import matches, node_hash
from meadowlark.tree.known_hashes import KnownHashes, hash_slices
from meadowlark.tree.node import (
    Leaf,
    Node,
    ServerValue,
    canonical_number,
    child_count,
    children,
    children_in_key_order,
    find,
    find_child,
    from_json,
    is_key_ordered,
    is_leaf,
    is_map,
    is_same_leaf,
    make_map,
    node_count_up_to,
    priority_from_json,
    priority_of,
    resolve,
    take_out,
    value_of,
    with_priority,
)
from meadowlark.tree.order import key_order, priority_order, utf16_order
from meadowlark.tree.packing import pack_slices, pack_tree_slices
from meadowlark.tree.paths import PRIORITY, VALUE, Path, check_path, find_key_fault, format_path, parse_path
from meadowlark.tree.prepare import Prepared, prepare_decoded, prepare_slices
from meadowlark.tree.ranges import Range, Ranges, differing_slices, make_ranges
from meadowlark.tree.tree import Change, Tree
from meadowlark.tree.weight import is_large

__all__ = [
    "PRIORITY",
    "VALUE",
    "Change",
    "KnownHashes",
    "Leaf",
    "Node",
    "Path",
    "Prepared",
    "Range",
    "Ranges",
    "ServerValue",
    "Tree",
    "canonical_number",
    "check_path",
    "child_count",
    "children",
    "children_in_key_order",
    "decode_packed_slices",
    "decode_slices",
    "differing_slices",
    "encode",
    "encode_slices",
    "find",
    "find_child",
    "find_key_fault",
    "format_path",
    "from_json",
    "hash_slices",
    "is_key_ordered",
    "is_large",
    "is_leaf",
    "is_map",
    "is_same_leaf",
    "key_order",
    "make_map",
    "make_ranges",
    "matches",
    "node_count_up_to",
    "node_hash",
    "pack_slices",
    "pack_tree_slices",
    "parse_path",
    "plain",
    "prepare_decoded",
    "prepare_slices",
    "priority_from_json",
    "priority_of",
    "priority_order",
    "resolve",
    "shallow",
    "take_out",
    "unpacked",
    "utf16_order",
    "value_of",
    "with_priority",
]
