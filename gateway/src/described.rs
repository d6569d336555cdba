//! Routes and what describes them. The routes are made when the server starts; the descriptions, which are
//! much more work, when somebody asks for them.

use axum::Router;
use axum::routing::MethodRouter;
use utoipa::openapi::Paths;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::App;

/// A set of routes.
#[derive(Default)]
pub struct Routes {
    router: Router<App>,
    described: Vec<Described>,
}

/// The functions of one path; made by [`routes!`].
pub struct Operations {
    pub path: String,
    pub handlers: MethodRouter<App>,
    pub describe: Describe,
}

/// Makes the schemas and the paths; what else it makes is not used.
pub type Describe = fn() -> UtoipaMethodRouter<App>;

/// A path that the document shows.
pub(crate) struct Described {
    prefix: String,
    path: String,
    describe: Describe,
}

impl Routes {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn routes(mut self, operations: Operations) -> Self {
        let Operations { path, handlers, describe } = operations;
        self.router = self.router.route(&path, handlers);
        self.described.push(Described { prefix: String::new(), path, describe });
        self
    }

    /// A route that the document does not show.
    #[must_use]
    pub fn route(mut self, path: &str, handlers: MethodRouter<App>) -> Self {
        self.router = self.router.route(path, handlers);
        self
    }

    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.described.extend(other.described);
        self
    }

    /// Puts `other` below the path `prefix`.
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        self.router = self.router.nest(prefix, other.router);
        let below = |inner: Described| Described { prefix: format!("{prefix}{}", inner.prefix), ..inner };
        self.described.extend(other.described.into_iter().map(below));
        self
    }

    /// With layers around the routes.
    #[must_use]
    pub fn map(mut self, change: impl FnOnce(Router<App>) -> Router<App>) -> Self {
        self.router = change(self.router);
        self
    }

    /// With layers around the routes, where there is a server to guard. Without one they are only described.
    #[must_use]
    pub fn guarded(self, app: Option<&App>, guard: impl FnOnce(Router<App>, App) -> Router<App>) -> Self {
        match app.cloned() {
            Some(app) => self.map(|router| guard(router, app)),
            None => self,
        }
    }

    pub(crate) fn into_parts(self) -> (Router<App>, Vec<Described>) {
        (self.router, self.described)
    }
}

impl Described {
    /// The whole path, with its parameters in braces.
    pub(crate) fn path(&self) -> String {
        plain(&format!("{}{}", self.prefix, self.path))
    }

    /// Adds the operations and schemas of this path.
    pub(crate) fn add_to(&self, paths: &mut Paths, schemas: &mut Schemas) {
        let (own_schemas, own_paths, _) = (self.describe)();
        schemas.extend(own_schemas);
        let prefixed = |path: String| plain(&format!("{}{path}", self.prefix));
        paths.paths.extend(own_paths.paths.into_iter().map(|(path, item)| (prefixed(path), item)));
    }
}

pub(crate) type Schemas = Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>;

/// `{*rest}` is the router's way to say that a parameter may hold slashes.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

/// [`Operations`] of functions with `#[utoipa::path]`, all of the same path. `@path` is how the macro of
/// `utoipa_axum` reaches what that attribute made of a function.
macro_rules! routes {
    ( $($first:ident)::+ $(, $($more:ident)::+ )* ) => {{
        use utoipa_axum::PathItemExt;
        let handlers = axum::routing::MethodRouter::new();
        let handlers = $crate::described::routes!(@add handlers, $($first)::+);
        $( let handlers = $crate::described::routes!(@add handlers, $($more)::+); )*
        $crate::described::Operations {
            path: utoipa_axum::routes!(@path [path()] of $($first)::+),
            handlers,
            describe: || utoipa_axum::routes!($($first)::+ $(, $($more)::+ )*),
        }
    }};
    ( @add $handlers:ident, $($handler:ident)::+ ) => {
        utoipa_axum::routes!(@path [methods()] of $($handler)::+)
            .iter()
            .fold($handlers, |handlers, method| handlers.on(method.to_method_filter(), $($handler)::+))
    };
}

pub(crate) use routes;
