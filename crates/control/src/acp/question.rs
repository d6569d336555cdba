//! What a client asks: the settings of an agent, and its secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use forms::{Step, Trouble};
use serde_json::{Map, Value, json};
use types::secrets::{SecretSource, check_sources};

use crate::Refusal;

const BODY: &[&str] = &["body"];

pub(super) struct Question {
    /// As the form of such agents has it.
    pub settings: Value,
    pub secrets: BTreeMap<String, SecretSource>,
    pub refresh: bool,
    pub patience: Duration,
}

impl Question {
    /// # Errors
    /// `Troubles`; `Unfit` for more secrets than there may be.
    pub fn read(body: Value) -> Result<Self, Refusal> {
        let Value::Object(mut body) = body else {
            return Err(object_needed(Vec::new()));
        };
        let Some(settings) = body.shift_remove("agent_settings") else {
            return Err(trouble("missing", vec![field("agent_settings")], "Field required"));
        };
        let below = |mut trouble: Trouble| {
            trouble.at.insert(0, field("agent_settings"));
            trouble
        };
        let settings = forms::acp_settings()
            .fill(settings)
            .map_err(|list| Refusal::Troubles { root: BODY, list: list.into_iter().map(below).collect() })?;
        let refresh = match body.shift_remove("refresh") {
            None => false,
            Some(Value::Bool(refresh)) => refresh,
            Some(_) => {
                return Err(trouble("bool_type", vec![field("refresh")], "Input should be a valid boolean"));
            }
        };
        let patience = settings.get("acp_startup_timeout").and_then(Value::as_f64).unwrap_or(90.0);
        Ok(Self {
            secrets: secrets(body.shift_remove("secrets"))?,
            refresh,
            patience: Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX),
            settings,
        })
    }
}

fn secrets(given: Option<Value>) -> Result<BTreeMap<String, SecretSource>, Refusal> {
    let given = match given {
        None => Map::new(),
        Some(Value::Object(given)) => given,
        Some(_) => {
            return Err(trouble("dict_type", vec![field("secrets")], "Input should be a valid dictionary"));
        }
    };
    let mut sources = BTreeMap::new();
    for (name, source) in given {
        let source = SecretSource::from_client(source).map_err(|why| {
            let at = vec![field("secrets"), Step::Field(name.clone())];
            let bounds = Some(json!({ "error": why }));
            let says = format!("Value error, {why}");
            Refusal::Troubles { root: BODY, list: vec![Trouble { kind: "value_error", at, says, bounds }] }
        })?;
        sources.insert(name, source);
    }
    check_sources(&sources).map_err(Refusal::Unfit)?;
    Ok(sources)
}

fn object_needed(at: Vec<Step>) -> Refusal {
    trouble(
        "model_attributes_type",
        at,
        "Input should be a valid dictionary or object to extract fields from",
    )
}

fn trouble(kind: &'static str, at: Vec<Step>, says: &str) -> Refusal {
    let says = says.to_owned();
    Refusal::Troubles { root: BODY, list: vec![Trouble { kind, at, says, bounds: None }] }
}

fn field(name: &str) -> Step {
    Step::Field(name.to_owned())
}
