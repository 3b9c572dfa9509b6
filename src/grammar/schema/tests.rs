use serde_json::json;

use super::*;
use crate::grammar::tests::{accepts, bytes};
use crate::sampling::Constraint;

#[track_caller]
fn refused(schema: Value, part: &str) {
    let error = check(&schema).unwrap_err().to_string();
    assert!(error.contains(part) && !error.contains('\n'), "{error}");
}

#[test]
fn what_cannot_be_followed_is_named_with_its_place() {
    for keyword in [
        "not",
        "if",
        "then",
        "else",
        "contains",
        "minContains",
        "maxContains",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedItems",
        "unevaluatedProperties",
        "$dynamicRef",
        "$recursiveRef",
        "$dynamicAnchor",
        "contentSchema",
        "nullable",
        "maxLenght",
        "x-guidance",
    ] {
        refused(json!({ keyword: {} }), &format!("the schema's keyword '{keyword}' is not supported"));
        let inner =
            json!({"type": "object", "properties": {"a": {"type": "array", "items": { keyword: true }}}});
        refused(inner, &format!("'{keyword}' at 'properties.a.items' is not supported"));
    }
    refused(json!({"uniqueItems": true}), "'uniqueItems' is not supported");
    refused(json!({"$defs": {"a": {"not": {}}}}), "'not' at '$defs.a'");
    refused(json!({"anyOf": [{}, {"if": {}}]}), "'if' at 'anyOf[1]'");
    refused(json!({"type": "string", "format": "uri-template"}), "'format' is 'uri-template'");
    refused(json!({"$ref": "#/$defs/none"}), "'#/$defs/none', which is not there");
    refused(json!({"$ref": "http://example.com/x"}), "a part of this schema");
    refused(json!({"properties": {"a": {"$id": "x"}}}), "'$id' at 'properties.a'");
    refused(json!({"const": 9_007_199_254_740_993_u64}), "too many digits");
    refused(json!({"minItems": -1}), "whole number");
    refused(json!({"maxLength": 1e9}), "more than 100000");
    refused(json!({"properties": []}), "'properties' has to be an object");
    refused(json!({"anyOf": {}}), "'anyOf' has to be a list");
    refused(json!({"items": 3}), "has to be an object");
    refused(json!([1]), "has to be an object");
    refused(json!({"prefixItems": [{}], "additionalItems": false}), "'prefixItems'");
}

#[test]
fn what_says_nothing_is_left_out() {
    let noted = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A", "description": "b", "default": {}, "x-order": 1,
        "uniqueItems": false, "type": "string", "format": "password", "deprecated": true, "minLength": 2.0,
    });
    let checked = check(&noted).unwrap();
    let left: Vec<&str> = checked.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(left, ["$schema", "type", "minLength", "x-guidance"]);
    assert_eq!(checked["minLength"], json!(2));
    assert!(check(&json!({"type": "integer", "format": "int32"})).is_ok());
    // Properties may be called like keywords.
    assert!(check(&json!({"properties": {"not": {}, "title": {"const": {"if": 1}}}})).is_ok());
}

#[test]
fn a_choice_of_types_is_any_of_them() {
    let choice = |a: Value, b: Value| {
        json!({
            "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}], "discriminator": {"propertyName": "kind"},
            "$defs": {
                "Cat": {"type": "object", "properties": {"kind": a, "lives": {"type": "integer"}}, "required": ["kind"]},
                "Dog": {"type": "object", "properties": {"kind": b, "name": {"type": "string"}}, "required": ["kind"]},
            },
        })
    };
    let constant = |text: &str| json!({"const": text, "type": "string"});
    let checked = check(&choice(constant("cat"), constant("dog"))).unwrap();
    assert!(checked.get("oneOf").is_none() && checked["anyOf"].is_array());
    let matcher = bytes()
        .matcher(&Constraint::JsonSchema(choice(constant("cat"), json!({"enum": ["dog", "wolf"]}))))
        .unwrap();
    assert!(
        accepts(&matcher, r#"{"kind": "wolf", "name": "x"}"#) && !accepts(&matcher, r#"{"kind": "cow"}"#)
    );
    let same = check(&choice(constant("cat"), json!({"enum": ["dog", "cat"]}))).unwrap();
    assert!(same.get("oneOf").is_some());
}

#[test]
fn white_space_is_what_models_write_and_has_an_end() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}, "required": ["a"]});
    let matcher = bytes().matcher(&Constraint::JsonSchema(schema)).unwrap();
    for text in [r#"{"a":[1,2]}"#, r#"{"a": [1, 2]}"#, "{\n  \"a\": [\n    1,\n    2\n  ]\n}"] {
        assert!(accepts(&matcher, text), "{text}");
    }
    for text in [" {\"a\":[]}", "{  \"a\":[]}", "{\n\n\"a\":[]}", "{\"a\":[] ", "{\"a\":[]}x"] {
        assert!(!accepts(&matcher, text), "{text}");
    }
    let spaces = format!("{{\n{}\"a\":[]}}", " ".repeat(41));
    assert!(!accepts(&matcher, &spaces) && accepts(&matcher, &spaces.replacen(' ', "", 1)));
}
