"""What the server can be asked over HTTP, described for programs: OpenAPI 3.1, served at `/.meadowlark/openapi.json`.

Made once, from the same constants that the requests are checked with. A path in the tree has as many keys as one likes, which
OpenAPI cannot say: `{path}` stands for one key, and slashes between several are as good.
Source: docs/rest.md, which says what everything means; the OpenAPI Specification 3.1.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from meadowlark import __version__
from meadowlark.ids import DATABASE_NAME
from meadowlark.limits import DATABASE_NAME_LENGTH_MAX, KEY_BYTES_MAX
from meadowlark.query import PARAMETERS as QUERY_PARAMETERS
from meadowlark.server.profile import SECONDS_MAX
from meadowlark.server.settings import FIXED
from meadowlark.tree import encode
from meadowlark.wire.rest import CALLBACK, WRITE_SIZES

Part = dict[str, Any]

_QUERIES = {
    "orderBy": 'the order, as a JSON string: `"$key"`, `"$value"`, `"$priority"` or a path below each child. The others want it',
    "startAt": "from this JSON value on, which may be followed by a comma and a key as a JSON string",
    "startAfter": "after this value; not with `startAt`",
    "endAt": "up to this value",
    "endBefore": "before this value; not with `endAt`",
    "equalTo": "of this value; not with another bound",
    "limitToFirst": "the first so many",
    "limitToLast": "the last so many; not with `limitToFirst`",
}
assert tuple(_QUERIES) == QUERY_PARAMETERS
_COUNT = {"type": "integer", "minimum": 1}
_SPACE = r"[ \t\n\r]*"
_STRING = r'"([^"\\\u0000-\u001f]|\\(["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"'
_NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_PATH = r'([^"\\.#$\[\]\u0000-\u001f\u007f]|\\(["\\/]|u[0-9A-Fa-f]{4}))+'
"""What may stand in a JSON string that is a path; escaped it may be anything."""
_ORDER = {
    "type": "string",
    "pattern": rf'^{_SPACE}"(\$key|\$value|\$priority|{_PATH})"{_SPACE}$',
    "examples": ['"$key"', '"$value"', '"$priority"', '"age"', '"name/last"'],
}
_BOUND = {
    "type": "string",
    "pattern": rf"^{_SPACE}({_STRING}|{_NUMBER}|true|false|null){_SPACE}(,{_SPACE}{_STRING}{_SPACE})?$",
    "examples": ['"ann"', "18", "true", "null", '18,"ann"'],
}
"""Nothing is accepted that these patterns leave out."""


@cache
def description() -> bytes:
    """The document as JSON."""
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Meadowlark",
                "version": __version__,
                "summary": "A realtime JSON database that speaks the protocol of the Firebase Realtime Database.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}, {"token": []}, {}],
            "paths": _paths(),
            "components": {
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "token": {"type": "apiKey", "in": "query", "name": "auth"},
                },
                "schemas": {
                    "Error": _object({"error": {"type": "string"}}),
                    "Name": _object({"name": {"type": "string"}}),
                    "Names": {"type": "array", "items": {"$ref": "#/components/schemas/Name"}},
                    "Instance": _object(
                        {name: {"type": "string"} for name in ("name", "project", "databaseUrl", "type", "state")}
                    ),
                },
            },
        }
    )


def _paths() -> Part:
    name = {"type": "string", "pattern": f"^{DATABASE_NAME.pattern}$", "maxLength": DATABASE_NAME_LENGTH_MAX}
    database, named = [_query("ns", "the database", name)], [_path("name", name)]
    project = [_path("project", {"type": "string", "minLength": 1})]
    instances = "/v1beta/projects/{project}/locations/-/instances"
    return {
        "/.json": _value("Root", database),
        "/{path}.json": _value("", [*database, _path("path", {"type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX})]),
        "/": {"get": _get("greet", "name and version", _object({"name": {"type": "string"}, "version": {"type": "string"}}))},
        "/.health": {"get": _get("check", "whether writes are acknowledged", _object({"status": {"const": "ok"}}), 503)},
        "/.wt": {
            "parameters": database,
            "get": _get("findWebTransport", "where the database is served over WebTransport", {
                "type": "object",
                "properties": {
                    "url": {"type": ["string", "null"]},
                    "hashes": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["url"],
            }, 400, 404),
        },
        "/.inspect/databases.json": {"get": _get("inspectDatabases", "all databases", _ref("Names"), 401)},
        "/.inspect/coverage.json": {
            "parameters": database,
            "get": _get("inspectCoverage", "how often each rule was asked", {"type": "object"}, 400, 401, 404),
        },
        "/.inspect/coverage": {
            "parameters": database,
            "get": _operation("showCoverage", "the same as a page", {
                "200": {"description": "a page", "content": {"text/html": {"schema": {"type": "string"}}}},
            } | _refusals(400, 401, 404)),
        },
        "/.meadowlark/databases.json": {"get": _get("listDatabases", "all databases", _ref("Names"), 401)},
        "/.meadowlark/databases/{name}.json": {
            "parameters": named,
            "get": _get("getDatabase", "whether there is this database", _ref("Name"), 400, 401, 404),
            "put": _operation("createDatabase", "the database exists", _answers(_ref("Name"), 400, 401) | {
                "201": _answer("it is new", _ref("Name"))
            }, _body({})),
        },
        "/.meadowlark/profile/{name}.json": {
            "parameters": [
                *named,
                _query("seconds", "how long", {"type": "number", "exclusiveMinimum": 0, "maximum": SECONDS_MAX}),
            ],
            "get": _get("profile", "what the database was busy with", {"type": "object"}, 400, 401, 404, 409),
        },
        "/.meadowlark/rules/{name}.json": {
            "parameters": named,
            "get": _get("listRules", "all versions of the rules", {}, 400, 401, 404),
            "post": _operation(
                "restoreRules", "brings a version back", _answers({}, 400, 401, 404),
                _body(_object({"restore": {"type": "integer", "minimum": 1}})),
            ),
            "delete": _operation("removeRules", "it has none of its own from now on", _answers({}, 400, 401, 404)),
        },
        "/.meadowlark/rules.json": {
            "get": _get("listDefaultRules", "all versions of the rules of databases without rules of their own", {}, 401, 404),
            "put": _operation("setDefaultRules", "sets these rules",
                _answers(_object({"status": {"type": "string"}}), 400, 401), _body({"type": "object"})),
            "post": _operation(
                "restoreDefaultRules", "brings a version back", _answers({}, 400, 401),
                _body(_object({"restore": {"type": "integer", "minimum": 1}})),
            ),
            "delete": _operation("removeDefaultRules", "there are none from now on", _answers({}, 400, 401)),
        },
        "/.meadowlark/explain/{name}.json": {
            "parameters": named,
            "post": _operation(
                "explain", "which rules allow or deny something",
                _answers(_object({"allowed": {"type": "boolean"}}), 400, 401, 404), _body(_question()),
            ),
        },
        "/.meadowlark/metrics.json": {"get": _get("metrics", "the numbers of every worker", {"type": "array"}, 401)},
        "/.meadowlark/openapi.json": {"get": _get("describe", "this description", {"type": "object"})},
        "/metrics": {"get": _operation("exposition", "the numbers of every worker", {
            "200": {"description": "for Prometheus", "content": {"text/plain": {"schema": {"type": "string"}}}},
        } | _refusals(401))},
        "/.settings/rules.json": {
            "parameters": database,
            "get": _get("getRules", "the rules", {"type": "object"}, 400, 401, 404),
            "put": _operation("setRules", "replaces the rules",
                _answers(_object({"status": {"type": "string"}}), 400, 401, 404), _body({"type": "object"})),
        },
        "/.settings/profile.json": {
            "parameters": database,
            "get": _operation("watchOperations", "operations as they happen", {
                "200": {"description": "events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            } | _refusals(400, 401, 404)),
        },
        **{f"/.settings/{name}.json": _setting(name, value, database) for name, value in FIXED.items()},
        instances: {
            "parameters": project,
            "get": _get("listInstances", "all databases, as the management API shows them", _object(
                {"instances": {"type": "array", "items": _ref("Instance")}}), 401),
        },
        instances + "/{name}": {
            "parameters": [*project, *named],
            "get": _get("getInstance", "one database", _ref("Instance"), 400, 401, 404),
        },
        "/v1beta1/projects/{project}": {
            "parameters": project,
            "get": _get("getProject", "which database is meant where none is named", _object(
                {"projectId": {"type": "string"}, "resources": {"type": "object"}}), 400, 401, 404),
        },
    }  # fmt: skip


def _value(where: str, parameters: list[Part]) -> Part:
    """What can be done with a value in the tree. where: behind the names of its operations."""
    shown = [
        _query("print", "`pretty` is indented, `silent` is no body at all", {"enum": ["pretty", "silent"]}),
        _query("auth_variable_override", "whom an admin acts as, as JSON", {"type": "string"}),
        _query("ac", "a token of App Check, which nobody asks for", {"type": "string"}),
        _query("disableTriggers", "says nothing: there are no triggers", {"enum": ["true", "false"]}),
    ]
    sized = _query("writeSizeLimit", "how large the body may be", {"enum": list(WRITE_SIZES)})
    etag = _header("X-Firebase-ETag", "whether the ETag is wanted", {"enum": ["true", "false"]})
    if_match = _header("If-Match", "the ETag that the value must have", {"type": "string"})
    read = [
        *shown,
        _query("shallow", "maps as their keys with `true`", {"enum": ["true", "false"]}),
        _query("format", "with priorities and without arrays", {"enum": ["export"]}),
        _query("timeout", "when to give up", {"type": "string", "pattern": "^[0-9]{1,9}(ms|s|min)$"}),
        _query(
            "callback",
            "a JavaScript function to be called with the value",
            {"type": "string", "pattern": f"^{CALLBACK.pattern}$"},
        ),
        _query("download", "the name of a file to save the value in", {"type": "string"}),
        *[_query(name, text, _query_schema(name)) for name, text in _QUERIES.items()],
        etag,
        _header("If-None-Match", "an ETag that the client has", {"type": "string"}),
    ]
    anything: Part = {}
    value = _answers(anything, 400, 401, 404, 503)
    silent = {"204": {"description": "done, and nothing is shown"}}
    script = {"application/javascript": {"schema": {"type": "string"}}, "text/event-stream": {"schema": {"type": "string"}}}
    shows = {"description": "the value", "content": {"application/json": {"schema": anything}, **script}}
    written = value | silent
    stale = {"412": _answer("another value stands there: this one", anything)}
    return {
        "parameters": parameters,
        "get": _operation(
            f"read{where}", "the value, or a stream of its changes",
            value | silent | {"200": shows, "304": {"description": "the client has the value"}}, None, read,
        ),
        "put": _operation(f"set{where}", "replaces it", written | stale, _body(anything), [*shown, sized, etag, if_match]),
        "patch": _operation(f"update{where}", "replaces children", written, _body({"type": ["object", "null"]}), [*shown, sized]),
        "post": _operation(
            f"push{where}", "adds a child", written | {"200": _answer("its key", _ref("Name"))}, _body(anything),
            [*shown, sized, etag],
        ),
        "delete": _operation(f"remove{where}", "removes it", written | stale, None, [*shown, sized, etag, if_match]),
    }  # fmt: skip


def _query_schema(name: str) -> Part:
    return _ORDER if name == "orderBy" else _COUNT if name.startswith("limit") else _BOUND


def _question() -> Part:
    """What `explain` is asked."""
    properties = {
        "operation": {"enum": ["read", "set", "update"]},
        "path": {"type": "string"},
        "as": {"type": ["string", "object", "null"]},
        "value": {},
        "query": {"type": ["object", "null"]},
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _setting(name: str, value: Any, parameters: list[Part]) -> Part:
    schema = {"const": value}
    refused = _refusals(400, 401, 404, 501)
    return {
        "parameters": parameters,
        "get": _get(f"get-{name}", "the setting", schema, 400, 401, 404),
        "put": _operation(f"set-{name}", "sets it to what it is", _answers(schema) | refused, _body(schema)),
    }


def _get(identity: str, summary: str, schema: Part, *refusals: int) -> Part:
    return _operation(identity, summary, _answers(schema, *refusals))


def _operation(
    identity: str, summary: str, responses: Part, body: Part | None = None, parameters: list[Part] | None = None
) -> Part:
    operation: Part = {"operationId": identity, "summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = body
    if parameters:
        operation["parameters"] = parameters
    return operation


def _answers(schema: Part, *refusals: int) -> Part:
    return {"200": _answer("done", schema), **_refusals(*refusals)}


def _refusals(*statuses: int) -> Part:
    return {str(status): _answer("refused", _ref("Error")) for status in statuses}


def _answer(text: str, schema: Part) -> Part:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _body(schema: Part) -> Part:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _object(properties: Part) -> Part:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ref(name: str) -> Part:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, text: str, schema: Part) -> Part:
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _header(name: str, text: str, schema: Part) -> Part:
    return {"name": name, "in": "header", "description": text, "schema": schema}


def _path(name: str, schema: Part) -> Part:
    return {"name": name, "in": "path", "required": True, "schema": schema}
