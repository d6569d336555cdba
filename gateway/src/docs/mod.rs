//! The OpenAPI document, made from the routes, and a page that shows it without any other server.

mod errors;
mod forms;
mod limits;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::header;
use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, KnownFormat, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, RefOr,
    Required, SchemaFormat, Type,
};

use crate::about::API_LEVEL;
use crate::described::{Described, Schemas};

const PAGE: &str = include_str!("page.html");

/// The page brings everything it needs and talks to nobody but us.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'";

const KEY: &str = "APIKeyHeader";
const TOKEN: &str = "BearerToken";

const DESCRIPTION: &str = "Coding-agent conversations, their events, and the workspaces they act in. Calls that \
    change something take a header `Idempotency-Key`: sent again, they act once.";

/// The document as it is answered.
fn text(described: &[Described]) -> serde_json::Result<Vec<u8>> {
    let mut document = serde_json::to_value(document(described))?;
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        forms::put_into(schemas)?;
    }
    serde_json::to_vec(&document)
}

/// The document that the paths make together.
fn document(described: &[Described]) -> OpenApi {
    let (mut paths, mut schemas) = (Paths::new(), Schemas::new());
    described.iter().for_each(|path| path.add_to(&mut paths, &mut schemas));
    for (path, item) in &mut paths.paths {
        complete(path, item);
    }
    let info = InfoBuilder::new()
        .title("Manyhands Agent Server")
        .version(API_LEVEL)
        .description(Some(DESCRIPTION))
        .build();
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Session-API-Key")));
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .schema(errors::NAME, errors::schema())
        .security_scheme(KEY, key)
        .security_scheme(TOKEN, token);
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .security(Some([KEY, TOKEN].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()))))
        .build()
}

/// One function serves several paths: every operation gets a name of its own, and the parameters that are in
/// the path alone.
fn complete(path: &str, item: &mut PathItem) {
    let place: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let methods: [(&str, &mut Option<Operation>); 5] = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    for (method, operation) in methods {
        let Some(operation) = operation else { continue };
        let name = operation.operation_id.take().unwrap_or_default();
        operation.operation_id = Some(format!("{name}{place}_{method}"));
        let described = operation.parameters.get_or_insert_default();
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            if !described.iter().any(|known| matches!(known, RefOr::T(known) if known.name == name)) {
                described.push(in_path(name).into());
            }
        }
        for parameter in described.iter_mut() {
            if let RefOr::T(parameter) = parameter {
                limits::describe(path, parameter);
            }
        }
        errors::describe(path, method != "get", operation);
    }
}

fn in_path(name: &str) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(schema))
        .build()
}

/// `/openapi.json`, `/docs` and `/redoc`. No route of them is described in the document, which is made when it
/// is first asked for and kept then.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(described: Vec<Described>) -> Router<S> {
    let json: Arc<OnceLock<Bytes>> = Arc::default();
    let described: Arc<[Described]> = described.into();
    let make = move || Bytes::from(text(&described).unwrap_or_default());
    let answer = move || async move {
        ([(header::CONTENT_TYPE, "application/json")], json.get_or_init(make).clone()).into_response()
    };
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
    let page = move || async move { (headers, PAGE) };
    Router::new()
        .route("/openapi.json", get(answer))
        .route("/docs", get(page.clone()))
        .route("/redoc", get(page))
}
