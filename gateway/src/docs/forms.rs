//! What is checked by a form is described by it: the form takes the place of the schema of that name.

use forms::Text;
use serde_json::{Map, Value};

/// Schemas, and the forms that they are.
const FORMS: [(&str, Text); 4] = [
    ("Llm", Text::Llm),
    ("McpServer", Text::McpServer),
    ("McpServerPatch", Text::McpServerPatch),
    ("MetaProfile", Text::MetaProfile),
];

/// Words of forms alone.
const OUR_WORDS: [&str; 3] = ["hidden", "always", "discriminator"];

/// Also puts in what the forms refer to, below names that begin with theirs.
///
/// # Errors
/// Where a form is no JSON.
pub(super) fn put_into(schemas: &mut Map<String, Value>) -> serde_json::Result<()> {
    for (name, text) in FORMS {
        let Some(described) = schemas.get_mut(name) else { continue };
        let mut form: Map<String, Value> = serde_json::from_str(text.as_str())?;
        let parts = form.remove("$defs");
        if let Some(says) = described.get_mut("description") {
            form.insert("description".to_owned(), says.take());
        }
        *described = of_document(name, form.into());
        let Some(Value::Object(parts)) = parts else { continue };
        let named =
            parts.into_iter().map(|(part, schema)| (format!("{name}{part}"), of_document(name, schema)));
        schemas.extend(named);
    }
    Ok(())
}

/// A schema of a form without the words of forms alone, whose references lead into the document.
fn of_document(form: &str, schema: Value) -> Value {
    match schema {
        Value::Object(words) => {
            let said = words.into_iter().filter(|(word, said)| !is_ours(word, said));
            said.map(|(word, said)| match said {
                Value::String(place) if word == "$ref" => {
                    let place = place.replace("#/$defs/", &format!("#/components/schemas/{form}"));
                    (word, Value::String(place))
                }
                said => (word, of_document(form, said)),
            })
            .collect()
        }
        Value::Array(items) => items.into_iter().map(|item| of_document(form, item)).collect(),
        plain => plain,
    }
}

/// A field may be called as a word is, but is described by a schema.
fn is_ours(word: &str, said: &Value) -> bool {
    OUR_WORDS.contains(&word) && !said.is_object()
}
