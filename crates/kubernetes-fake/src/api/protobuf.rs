//! The other form in which Go clients send a few objects: releases of helm, reviews of access, options of deletions.

use base64::Engine;
use serde_json::{Map, Value, json};

pub const TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// What a field is; fields that are not listed are passed over.
enum Form {
    Text,
    Texts,
    Bytes,
    Integer,
    Flag,
    Message(Fields),
    Messages(Fields),
    /// From text to text or bytes.
    Map(&'static Form),
}

type Fields = &'static [(u64, &'static str, Form)];

use Form::{Bytes, Flag, Integer, Map as Pairs, Message, Messages, Text, Texts};

const OWNER: Fields = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Flag),
    (7, "blockOwnerDeletion", Flag),
];
const META: Fields = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (11, "labels", Pairs(&Text)),
    (12, "annotations", Pairs(&Text)),
    (13, "ownerReferences", Messages(OWNER)),
    (14, "finalizers", Texts),
];
const SECRET: Fields = &[
    (1, "metadata", Message(META)),
    (2, "data", Pairs(&Bytes)),
    (3, "type", Text),
    (4, "stringData", Pairs(&Text)),
    (5, "immutable", Flag),
];
const CONFIG: Fields = &[(1, "metadata", Message(META)), (2, "data", Pairs(&Text)), (4, "immutable", Flag)];
const NAMED: Fields = &[(1, "metadata", Message(META))];
const ATTRIBUTES: Fields = &[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
];
const REVIEW: Fields = &[
    (1, "metadata", Message(META)),
    (2, "spec", Message(&[(1, "resourceAttributes", Message(ATTRIBUTES))])),
];
const OPTIONS: Fields = &[
    (1, "gracePeriodSeconds", Integer),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];
const OUTER: Fields =
    &[(1, "type", Message(&[(1, "apiVersion", Text), (2, "kind", Text)])), (2, "raw", Bytes)];

fn fields_of(kind: &str) -> Option<Fields> {
    Some(match kind {
        "Secret" => SECRET,
        "ConfigMap" => CONFIG,
        "Namespace" | "ServiceAccount" => NAMED,
        "SelfSubjectAccessReview" => REVIEW,
        "DeleteOptions" => OPTIONS,
        _ => return None,
    })
}

/// `None`: it is broken, or of a kind that is not read in this form.
pub fn object(body: &[u8]) -> Option<Value> {
    let outer = message(body.strip_prefix(MAGIC)?, OUTER)?;
    let kind = outer["type"]["kind"].as_str()?;
    let raw =
        base64::engine::general_purpose::STANDARD.decode(outer["raw"].as_str().unwrap_or_default()).ok()?;
    let mut object = message(&raw, fields_of(kind)?)?;
    object["kind"] = kind.into();
    object["apiVersion"] = outer["type"]["apiVersion"].clone();
    Some(object)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if *byte < 128 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(taken)
}

fn message(mut bytes: &[u8], fields: Fields) -> Option<Value> {
    let mut map = Map::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        let form = fields.iter().find(|(number, _, _)| *number == tag >> 3);
        match tag & 7 {
            0 => {
                let value = number(&mut bytes)?;
                match form {
                    Some((_, name, Flag)) => drop(map.insert((*name).to_owned(), (value != 0).into())),
                    Some((_, name, Integer)) => drop(map.insert((*name).to_owned(), value.into())),
                    _ => {}
                }
            }
            1 => drop(take(&mut bytes, 8)?),
            5 => drop(take(&mut bytes, 4)?),
            2 => {
                let length = number(&mut bytes)?;
                let inner = take(&mut bytes, length)?;
                if let Some((_, name, form)) = form {
                    put(&mut map, name, form, inner)?;
                }
            }
            _ => return None,
        }
    }
    Some(Value::Object(map))
}

fn put(map: &mut Map<String, Value>, name: &str, form: &Form, bytes: &[u8]) -> Option<()> {
    let value = match form {
        Text | Bytes => scalar(form, bytes)?,
        Message(fields) => message(bytes, fields)?,
        Texts | Messages(_) => {
            let item = match form {
                Messages(fields) => message(bytes, fields)?,
                _ => scalar(&Text, bytes)?,
            };
            map.entry(name).or_insert_with(|| json!([])).as_array_mut()?.push(item);
            return Some(());
        }
        Pairs(of) => {
            let fields: Fields = match of {
                Bytes => &[(1, "key", Text), (2, "value", Bytes)],
                _ => &[(1, "key", Text), (2, "value", Text)],
            };
            let pair = message(bytes, fields)?;
            let value = if pair["value"].is_null() { "".into() } else { pair["value"].clone() };
            let key = pair["key"].as_str().unwrap_or_default().to_owned();
            map.entry(name).or_insert_with(|| json!({})).as_object_mut()?.insert(key, value);
            return Some(());
        }
        Integer | Flag => return None,
    };
    // What says nothing is sent, too.
    if value != "" {
        map.insert(name.to_owned(), value);
    }
    Some(())
}

fn scalar(form: &Form, bytes: &[u8]) -> Option<Value> {
    match form {
        Bytes => Some(base64::engine::general_purpose::STANDARD.encode(bytes).into()),
        _ => std::str::from_utf8(bytes).ok().map(Into::into),
    }
}
