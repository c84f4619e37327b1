"""A schema of any shape gets a value that it accepts, or a refusal in a sentence."""

from contextlib import suppress

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.servers.protocol.errors import BadRequestError
from pipeline.servers.protocol.schema import value_for

BOUND = st.integers(-5, 5) | st.sampled_from([0.5, -2.5, 3.3])
JUST = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3)


def leaf(*kinds, **optional):
    return st.fixed_dictionaries({"type": st.sampled_from(kinds)}, optional=optional)


LEAVES = st.one_of(
    st.booleans(),
    st.just({}),
    leaf("boolean", "null", ["null", "string"]),
    leaf("string", minLength=st.integers(0, 12), maxLength=st.integers(0, 12), description=st.text()),
    leaf("string", format=st.sampled_from(["date", "email", "uuid"])),
    leaf(
        "integer",
        "number",
        minimum=BOUND,
        maximum=BOUND,
        exclusiveMinimum=BOUND,
        exclusiveMaximum=BOUND,
        multipleOf=st.sampled_from([1, 2, 0.5, 3]),
    ),
    st.fixed_dictionaries(
        {"enum": st.lists(JUST, min_size=1, max_size=4)},
        optional={"type": st.sampled_from(["string", "integer", ["string", "null"]])},
    ),
    st.fixed_dictionaries({"const": JUST}),
    st.sampled_from([{"$ref": "#/$defs/a"}, {"pattern": "^x+$"}, {"not": {}}]),
)


def around(inner):
    names = st.sampled_from("abc")
    return st.one_of(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.just("object"),
                "properties": st.dictionaries(names, inner, max_size=3),
                "required": st.lists(names, max_size=3, unique=True),
                "additionalProperties": st.booleans() | inner,
            },
        ),
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.just("array"),
                "items": inner,
                "minItems": st.integers(0, 3),
                "maxItems": st.integers(0, 3),
                "uniqueItems": st.booleans(),
            },
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
    )


SCHEMAS = st.recursive(LEAVES, around, max_leaves=8).filter(lambda schema: isinstance(schema, dict))


@given(SCHEMAS, st.integers(0, 2**128))
def test_a_value_that_is_made_is_accepted(schema, number):
    schema = {**schema, "$defs": {"a": {"type": "string"}}}
    try:
        value = value_for(schema, number)
    except BadRequestError:
        return
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)


TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "left": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["name", "left", "children"],
    "additionalProperties": False,
}
NESTED = {
    "type": "object",
    "properties": {
        "answer": {
            "type": "object",
            "properties": {
                "category": {"enum": ["a", "b"]},
                "sure": {"type": "number", "minimum": 0.5, "maximum": 1},
            },
            "required": ["category", "sure"],
        }
    },
    "required": ["answer"],
}


@pytest.mark.parametrize("schema", [TREE, NESTED, {"properties": {"category": {"enum": ["a", "b"]}}}])
def test_schemas_as_they_are_written_are_answered(schema):
    value = value_for(schema, 7)
    assert set(value) == set(schema["properties"])
    jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "unknown"),
        ({"type": "string", "maxLength": 3}, "unk"),
        ({"type": "string", "minLength": 9}, "unknownun"),
        ({"type": ["null", "string"], "format": "date"}, "2026-01-01"),
        ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5}, 5),
        ({"type": "number", "minimum": 0.25, "exclusiveMaximum": 0.5}, 0.25),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, [None, None]),
        ({"items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": True}, ["a", "b"]),
        ({"const": {"a": 1}, "title": "x"}, {"a": 1}),
        ({"enum": ["a", 7], "type": "integer"}, 7),
        ({"anyOf": [{"pattern": "x"}, {"type": "boolean"}]}, True),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"enum": [1]}}}, {"a": 1}),
        ({"required": ["a"], "additionalProperties": {"type": "null"}}, {"a": None}),
    ],
)
def test_every_keyword_that_is_understood_is_followed(schema, value):
    assert value_for(schema, 0) == value


def test_the_number_chooses():
    assert {value_for({"enum": ["a", "b", "c"]}, number) for number in range(9)} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "string", "pattern": "^x"}, "holds 'pattern', which this endpoint cannot follow"),
        ({"oneOf": [{}]}, "holds 'oneOf', which this endpoint cannot follow"),
        ({"anyOf": [{}], "type": "string"}, "holds 'anyOf' beside other keywords"),
        ({"$ref": "#"}, "is no JSON schema"),
        ({"$ref": "elsewhere.json"}, "refers to 'elsewhere.json', which is not in it"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "has a number within bounds that"),
        ({"properties": 7}, "is no JSON schema"),
        ({"type": "anything"}, "holds the type 'anything', which is none"),
        ({"anyOf": ""}, "holds 'anyOf' with something else than a list of at least one entry"),
        ({"anyOf": []}, "holds 'anyOf' with something else than a list"),
        ({"anyOf": {"a": {}}}, "holds 'anyOf' with something else than a list"),
        ({"properties": {"a": {"anyOf": [{"anyOf": []}]}}}, "holds 'anyOf' with something else than a list"),
        ({"oneOf": ""}, "holds 'oneOf', which this endpoint cannot follow"),
        ({"allOf": []}, "holds 'allOf', which this endpoint cannot follow"),
        ({"enum": []}, "holds 'enum' with something else than a list"),
        ({"enum": "abc"}, "holds 'enum' with something else than a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused_in_a_sentence(schema, why):
    with pytest.raises(BadRequestError) as caught:
        value_for(schema, 0)
    assert why in str(caught.value)
    assert (caught.value.status, caught.value.param) == (400, "response_format")


@given(st.recursive(JUST, lambda inner: st.dictionaries(
    st.sampled_from(["type", "enum", "items", "properties", "minimum", "anyOf", "required", "minItems", "$ref", "const"]), inner)
    | st.lists(inner), max_leaves=9).filter(lambda schema: isinstance(schema, dict)))  # fmt: skip
def test_rubbish_is_answered_or_refused(schema):
    with suppress(BadRequestError):
        value_for(schema, 0)
