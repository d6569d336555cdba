//! The names that ordinary work needs, and those of the server.

/// Whatever begins like this configures the server, or is a note that it left for itself.
const OF_THE_SERVER: [&str; 3] = ["OH_", "MANYHANDS_", "SESSION_API_KEY"];

/// In both cases: programs disagree about which they read.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// The user, the place, the language.
const SESSION: [&str; 18] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "TZ",
    "TMPDIR",
    "EDITOR",
    "DISPLAY",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// Which certificates to believe.
const CERTIFICATES: [&str; 12] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "NIX_SSL_CERT_FILE",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

/// Where tool chains live, and what they look for.
const TOOL_CHAINS: [&str; 73] = [
    "JAVA_HOME",
    "JDK_HOME",
    "MAVEN_HOME",
    "M2_HOME",
    "GRADLE_HOME",
    "GRADLE_USER_HOME",
    "SDKMAN_DIR",
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "ANDROID_NDK_HOME",
    "FLUTTER_ROOT",
    "PUB_CACHE",
    "DOTNET_ROOT",
    "NUGET_PACKAGES",
    "NVM_DIR",
    "NVM_BIN",
    "NODE_PATH",
    "NODE_OPTIONS",
    "VOLTA_HOME",
    "FNM_DIR",
    "PNPM_HOME",
    "YARN_CACHE_FOLDER",
    "BUN_INSTALL",
    "DENO_DIR",
    "COREPACK_HOME",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "CONDA_EXE",
    "MAMBA_ROOT_PREFIX",
    "MAMBA_EXE",
    "POETRY_HOME",
    "PIPX_HOME",
    "PIPX_BIN_DIR",
    "UV_CACHE_DIR",
    "UV_PYTHON_INSTALL_DIR",
    "UV_TOOL_DIR",
    "RBENV_ROOT",
    "RVM_PATH",
    "GEM_HOME",
    "GEM_PATH",
    "BUNDLE_PATH",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "GOBIN",
    "GOCACHE",
    "GOMODCACHE",
    "GOTOOLCHAIN",
    "GOFLAGS",
    "COMPOSER_HOME",
    "PERL5LIB",
    "JULIA_DEPOT_PATH",
    "R_HOME",
    "ASDF_DIR",
    "ASDF_DATA_DIR",
    "MISE_DATA_DIR",
    "HOMEBREW_PREFIX",
    "HOMEBREW_CELLAR",
    "HOMEBREW_REPOSITORY",
    "NIX_PATH",
    "NIX_PROFILES",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "PLAYWRIGHT_BROWSERS_PATH",
    "PKG_CONFIG_PATH",
    "LD_LIBRARY_PATH",
];

/// Where packages come from.
const PACKAGES: [&str; 16] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_FIND_LINKS",
    "PIP_CACHE_DIR",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "npm_config_cache",
    "npm_config_prefix",
    "GOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "CONDA_CHANNELS",
];

/// Whether a shell can hold a variable of this name.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

pub fn is_of_the_server(name: &str) -> bool {
    OF_THE_SERVER.iter().any(|start| name.starts_with(start))
}

/// Whether the value of a variable of this name says what to reach over the network.
pub fn is_place(name: &str) -> bool {
    PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy)) || PACKAGES.contains(&name)
}

pub fn is_ordinary(name: &str) -> bool {
    name.starts_with("LC_")
        || is_place(name)
        || [&SESSION[..], &CERTIFICATES[..], &TOOL_CHAINS[..]].iter().any(|names| names.contains(&name))
}
