//! The OpenAPI document, made from the routes, and a page that shows it without any other server.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::header;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    InfoBuilder, KnownFormat, ObjectBuilder, OpenApi, RefOr, Required, SchemaFormat, Type,
};
use utoipa_axum::router::OpenApiRouter;

use crate::App;
use crate::public::API_LEVEL;

const PAGE: &str = include_str!("docs.html");

/// The page brings everything it needs and talks to nobody but us.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'";

const SCHEME: &str = "APIKeyHeader";

/// Parts the routes from their description, and completes the latter.
pub(crate) fn document(routes: OpenApiRouter<App>) -> (Router<App>, OpenApi) {
    let (routes, mut document) = routes.split_for_parts();
    document.info = InfoBuilder::new()
        .title("Manyhands Agent Server")
        .version(API_LEVEL)
        .description(Some("Coding-agent conversations, their events, and the workspaces they act in."))
        .build();
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Session-API-Key")));
    document.components.get_or_insert_default().add_security_scheme(SCHEME, key);
    document.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
    // `{*rest}` is the router's way to say that a parameter may hold slashes.
    let paths = std::mem::take(&mut document.paths.paths).into_iter();
    document.paths.paths = paths.map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    for (path, item) in &mut document.paths.paths {
        complete(path, item);
    }
    (routes, document)
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

/// `/openapi.json`, `/docs` and `/redoc`. No route of them is described in the document.
pub(crate) fn routes(document: &OpenApi) -> Router<App> {
    let json = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)];
    let page = move || async move { (headers, PAGE) };
    Router::new()
        .route(
            "/openapi.json",
            get(|| async move { ([(header::CONTENT_TYPE, "application/json")], json).into_response() }),
        )
        .route("/docs", get(page.clone()))
        .route("/redoc", get(page))
}
