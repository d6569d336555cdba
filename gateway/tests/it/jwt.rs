//! Bearer tokens: which are accepted, and what they allow.

use std::path::{Path, PathBuf};

use crate::harness::tokens::{
    SECRET, bearer, bearer_of, body_for, claims, operations, path_for, seconds_from_now, signed, token,
    with_secret,
};
use crate::harness::{KEY, Server, eventually, start_failure, start_with};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use manyhands_gateway::config::{BearerKeys, KeyPlace, Signature};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use testing::socket::Socket;
use vault::Keys;

const ROUTE: &str = "/api/tools/";

async fn ask(server: &Server, token: &str) -> Response {
    server.request(Method::GET, ROUTE).bearer_auth(token).send().await.unwrap()
}

async fn status(server: &Server, token: &str) -> u16 {
    ask(server, token).await.status().as_u16()
}

async fn server_for(keys: BearerKeys) -> Server {
    start_with(|config| config.site.bearer = Some(bearer_of(keys))).await
}

/// A key pair of an issuer.
struct Issuer {
    signature: Signature,
    private: EncodingKey,
    /// DER, with its algorithm.
    public: Vec<u8>,
    jwk: Value,
}

impl Issuer {
    fn rsa() -> Self {
        let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = pair.as_der().unwrap();
        let key = pair.public_key();
        // What precedes the key itself has always this length for this size.
        let private = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let modulus = key.modulus().big_endian_without_leading_zero().to_vec();
        let exponent = key.exponent().big_endian_without_leading_zero().to_vec();
        let jwk =
            json!({"kty": "RSA", "use": "sig", "alg": "RS256", "n": part(&modulus), "e": part(&exponent)});
        let public = key.as_der().unwrap().as_ref().to_vec();
        Self { signature: Signature::Rs256, private, public, jwk }
    }

    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let private = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let public = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x});
        Self { signature: Signature::EdDsa, private, public, jwk }
    }

    fn pem(&self) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&self.public))
    }

    fn named(&self, kid: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = kid.into();
        jwk
    }

    fn sign(&self, kid: Option<&str>) -> String {
        let algorithm = match self.signature {
            Signature::Rs256 => Algorithm::RS256,
            Signature::EdDsa => Algorithm::EdDSA,
        };
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        signed(&header, &claims("default", "read"), &self.private)
    }

    async fn server(&self, file: KeyPlace) -> Server {
        server_for(BearerKeys::Public { signature: self.signature, file }).await
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

#[tokio::test]
async fn tokens_of_each_algorithm_are_accepted_by_their_own_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (one, other) in [(Issuer::rsa(), Issuer::rsa()), (Issuer::ed25519(), Issuer::ed25519())] {
        let pem = write(folder.path(), "key.pem", &one.pem());
        let server = one.server(KeyPlace::Pem(pem)).await;
        assert_eq!(status(&server, &one.sign(None)).await, 200);
        assert_eq!(status(&server, &one.sign(Some("any"))).await, 200);
        assert_eq!(status(&server, &other.sign(None)).await, 401);

        let set = write(folder.path(), "keys.json", &key_set(&[other.named("b"), one.named("a")]));
        let server = one.server(KeyPlace::Jwks(set)).await;
        assert_eq!(status(&server, &one.sign(Some("a"))).await, 200);
        assert_eq!(status(&server, &other.sign(Some("b"))).await, 200);
        for kid in [Some("b"), Some("c"), None] {
            assert_eq!(status(&server, &one.sign(kid)).await, 401, "{kid:?}");
        }
    }
}

#[tokio::test]
async fn a_token_cannot_choose_its_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::rsa();
    let pem = issuer.pem();
    let server = issuer.server(KeyPlace::Pem(write(folder.path(), "key.pem", &pem))).await;
    assert_eq!(status(&server, &issuer.sign(None)).await, 200);
    // The public key is public: as an HMAC secret it proves nothing.
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &issuer.public, &issuer.public[24..]] {
        let key = EncodingKey::from_secret(secret);
        let forged = signed(&Header::new(Algorithm::HS256), &claims("default", "read write"), &key);
        assert_eq!(status(&server, &forged).await, 401);
    }
    let other_hash = signed(&Header::new(Algorithm::RS512), &claims("default", "read"), &issuer.private);
    assert_eq!(status(&server, &other_hash).await, 401);

    let with_secrets = start_with(|config| config.site.bearer = Some(bearer())).await;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for server in [&server, &with_secrets] {
        for algorithm in ["none", "None", "NONE", ""] {
            let header = part(&json!({"alg": algorithm, "typ": "JWT"}));
            let body = part(&claims("default", "read write"));
            for signature in ["", "AAAA"] {
                assert_eq!(status(server, &format!("{header}.{body}.{signature}")).await, 401);
            }
        }
    }
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let forged = signed(&Header::new(algorithm), &claims("default", "read"), &key);
        assert_eq!(status(&with_secrets, &forged).await, 401);
    }
}

#[tokio::test]
async fn each_claim_is_checked() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let with = |name: &str, value: Value| {
        let mut claims = claims("default", "read");
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        with_secret(SECRET, &claims)
    };
    for (name, value, wanted) in [
        ("exp", json!(seconds_from_now(-2)), 200),
        ("exp", json!(seconds_from_now(-30)), 401),
        ("exp", json!("tomorrow"), 401),
        ("exp", Value::Null, 401),
        ("nbf", json!(seconds_from_now(2)), 200),
        ("nbf", json!(seconds_from_now(30)), 401),
        ("iss", json!("https://other.example"), 401),
        ("iss", Value::Null, 401),
        ("aud", json!(["another", "manyhands"]), 200),
        ("aud", json!("another"), 401),
        ("aud", Value::Null, 401),
        ("tenant", Value::Null, 200),
        ("tenant", json!("a.b"), 401),
        ("tenant", json!(7), 401),
        ("scope", json!(["read"]), 200),
        ("scope", json!("openid read"), 200),
        ("scope", json!({}), 401),
        ("scope", json!("write"), 403),
        ("scope", json!("admin"), 403),
        ("scope", json!(""), 403),
        ("scope", Value::Null, 403),
    ] {
        assert_eq!(status(&server, &with(name, value.clone())).await, wanted, "{name}: {value}");
    }
}

#[tokio::test]
async fn refusals_say_no_more_than_that() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    for (token, wanted, detail) in [
        (
            with_secret("another secret of the issuer, long too", &claims("default", "read")),
            401,
            "Unauthorized",
        ),
        ("no.token.atall".to_owned(), 401, "Unauthorized"),
        (token("default", "write"), 403, "Forbidden"),
    ] {
        let answer = crate::harness::status_and_json(ask(&server, &token).await).await;
        assert_eq!(answer, (wanted, json!({"detail": detail})));
    }
    let (status, body) = server.get(ROUTE).await;
    assert_eq!((status, body), (401, json!({"detail": "Unauthorized"})));
}

#[tokio::test]
async fn only_types_of_bearer_tokens_are_taken() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let of_type = |typ: Option<&str>, crit: Option<&str>| {
        let typ = typ.map(str::to_owned);
        let crit = crit.map(|name| vec![name.to_owned()]);
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        signed(&Header { typ, crit, ..Header::default() }, &claims("default", "read"), &key)
    };
    for typ in [None, Some("JWT"), Some("jwt"), Some("at+jwt")] {
        assert_eq!(status(&server, &of_type(typ, None)).await, 200, "{typ:?}");
    }
    for typ in ["manyhands-workspace-session+jwt", "logout+jwt", "dpop+jwt", ""] {
        assert_eq!(status(&server, &of_type(Some(typ), None)).await, 401, "{typ:?}");
    }
    assert_eq!(status(&server, &of_type(None, Some("b64"))).await, 401);
}

#[tokio::test]
async fn a_secret_is_changed_without_a_moment_in_which_good_tokens_are_refused() {
    const NEXT: &str = "the next secret of the issuer, long";
    let keys = BearerKeys::Secrets(vec![NEXT.into(), SECRET.into()]);
    let server = server_for(keys).await;
    assert_eq!(status(&server, &with_secret(NEXT, &claims("default", "read"))).await, 200);
    assert_eq!(status(&server, &token("default", "read")).await, 200);
    let after = server_for(BearerKeys::Secrets(vec![NEXT.into()])).await;
    assert_eq!(status(&after, &token("default", "read")).await, 401);
}

#[tokio::test]
async fn a_changed_key_file_is_read_again_and_a_damaged_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Issuer::ed25519(), Issuer::ed25519());
    let path = write(folder.path(), "keys.json", &key_set(&[old.named("old")]));
    let server = old.server(KeyPlace::Jwks(path)).await;
    assert_eq!(status(&server, &old.sign(Some("old"))).await, 200);

    write(folder.path(), "keys.json", "{\"keys\": [");
    assert_eq!(status(&server, &old.sign(Some("old"))).await, 200);

    // An RSA key has no business here, whatever it is called.
    let rsa = Issuer::rsa();
    write(folder.path(), "keys.json", &key_set(&[rsa.named("rsa"), new.named("new"), json!({"kty": "?"})]));
    eventually("the new key counts", async || {
        (status(&server, &new.sign(Some("new"))).await == 200).then_some(())
    })
    .await;
    assert_eq!(status(&server, &old.sign(Some("old"))).await, 401);
    assert_eq!(status(&server, &rsa.sign(Some("rsa"))).await, 401);
}

#[tokio::test]
async fn a_key_file_without_a_key_of_the_algorithm_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let rsa = Issuer::rsa();
    let private = rsa.pem().replace("PUBLIC", "PRIVATE");
    for file in [
        KeyPlace::Pem(folder.path().join("none")),
        KeyPlace::Pem(write(folder.path(), "rsa.pem", &rsa.pem())),
        KeyPlace::Pem(write(folder.path(), "private.pem", &private)),
        KeyPlace::Jwks(write(folder.path(), "rsa.json", &key_set(&[rsa.named("a")]))),
        KeyPlace::Jwks(write(folder.path(), "unnamed.json", &key_set(&[Issuer::ed25519().jwk]))),
    ] {
        let keys = BearerKeys::Public { signature: Signature::EdDsa, file };
        let failure = start_failure(|config| config.site.bearer = Some(bearer_of(keys))).await;
        let folder = folder.path().display().to_string();
        assert!(failure.contains("key file") && failure.contains(&folder), "{failure}");
    }
}

#[tokio::test]
async fn session_keys_count_beside_tokens_and_decide_where_both_are_given() {
    let server = start_with(|config| {
        config.keys = Keys::new(&[KEY.into()]);
        config.site.bearer = Some(bearer());
    })
    .await;
    let with = async |key: Option<&str>, authorization: &str| {
        let mut request = server.request(Method::GET, ROUTE).header("authorization", authorization);
        if let Some(key) = key {
            request = request.header("x-session-api-key", key);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let good = format!("Bearer {}", token("default", "read"));
    assert_eq!(with(None, &good).await, 200);
    assert_eq!(with(None, &good.replace("Bearer", "bearer")).await, 200);
    assert_eq!(with(Some(KEY), "Bearer nonsense").await, 200);
    assert_eq!(with(Some("wrong"), &good).await, 401);
    assert_eq!(with(None, &good.replace("Bearer", "Basic")).await, 401);
    assert_eq!(with(None, &format!("Bearer {KEY}")).await, 401);
}

#[tokio::test]
async fn a_token_alone_guards_a_server_without_session_keys() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    assert_eq!(server.fetch(ROUTE).await.status(), 401);
    let any_key = server.request(Method::GET, ROUTE).header("x-session-api-key", "");
    assert_eq!(any_key.send().await.unwrap().status(), 401);
}

/// The operations that ask for no credentials.
const OPEN: [&str; 7] = ["/", "/alive", "/health", "/ready", "/server_info", "/api/init", "/openapi.json"];

/// Operations that change nothing though their methods say otherwise.
const LOOKING: [&str; 6] = [
    "/api/auth/workspace-session",
    "/api/agent-profiles/{name}/materialize",
    "/api/hooks",
    "/api/plugins",
    "/api/skills",
    "/api/sub-agents",
];

#[tokio::test]
async fn every_operation_needs_its_right() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let (_, document) = server.get("/openapi.json").await;
    let (mut reading, mut writing) = (0, 0);
    for (method, template) in operations(&document) {
        if OPEN.contains(&template.as_str()) {
            continue;
        }
        let path = path_for(&template, "00000000-0000-4000-8000-000000000001");
        let call = async |scope: Option<&str>| {
            let mut request = server.request(method.clone(), &path);
            if let Some(scope) = scope {
                request = request.bearer_auth(token("nobody", scope));
            }
            if let Some(body) = body_for(&method, &template) {
                request = request.json(&body);
            }
            request.send().await.unwrap().status().as_u16()
        };
        let opens = template.ends_with("/vscode/url");
        let reads = (method == Method::GET && !opens) || LOOKING.contains(&template.as_str());
        let (right, others) = if reads { ("read", "write admin") } else { ("write", "read admin") };
        *(if reads { &mut reading } else { &mut writing }) += 1;
        assert_eq!(call(None).await, 401, "{method} {template}");
        assert_eq!(call(Some("")).await, 403, "{method} {template}");
        assert_eq!(call(Some(others)).await, 403, "{method} {template}");
        let allowed = call(Some(right)).await;
        assert!(![401, 403].contains(&allowed), "{method} {template}: {allowed}");
    }
    assert!(reading > 20 && writing > 20, "{reading} and {writing} operations were tried");
}

#[tokio::test]
async fn what_tells_of_all_tenants_is_shown_to_administrators_alone() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let shown = async |method: Method, path: &str, scope: &str| {
        let request = server.request(method, path).bearer_auth(token("a", scope));
        request.send().await.unwrap().status().as_u16()
    };
    for scope in ["", "read", "write", "read write"] {
        assert_eq!(shown(Method::GET, "/metrics", scope).await, 403, "{scope:?}");
        assert_ne!(shown(Method::HEAD, "/metrics", scope).await, 200, "{scope:?}");
        for path in ["/metrics/", "//metrics", "/%6detrics", "/./metrics", "/metrics?x"] {
            assert_ne!(shown(Method::GET, path, scope).await, 200, "{path} {scope:?}");
        }
    }
    for scope in ["admin", "read write admin"] {
        assert_eq!(shown(Method::GET, "/metrics", scope).await, 200, "{scope:?}");
    }
    let (cookie, _) = cookie(&server, &token("a", "read")).await;
    let with_cookie = server.request(Method::GET, "/metrics").header("cookie", cookie);
    assert_eq!(with_cookie.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_socket_takes_a_token_in_the_header_or_the_first_frame_and_not_in_the_query() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let id = "00000000-0000-4000-8000-000000000001";
    let url = format!("ws://{}/sockets/events/{id}", server.address);
    let open = async |token: Option<&str>| Socket::open_with(&url, token).await;
    let first_frame = |token: &str| json!({"type": "auth", "token": token}).to_string();

    let mut socket = open(Some(&token("default", "read"))).await.unwrap();
    assert_eq!(socket.close_code().await, 4004);
    let mut socket = open(None).await.unwrap();
    socket.send(first_frame(&token("default", "read"))).await;
    assert_eq!(socket.close_code().await, 4004);

    assert_eq!(open(Some("nonsense")).await.err(), Some(403));
    assert_eq!(open(Some(&token("default", "write"))).await.err(), Some(403));
    for (frame, code) in [(first_frame("nonsense"), 4001), (first_frame(&token("default", "write")), 4003)] {
        let mut socket = open(None).await.unwrap();
        socket.send(frame).await;
        assert_eq!(socket.close_code().await, code);
    }
    let mut socket = Socket::open(&format!("{url}?token={}", token("default", "read"))).await;
    socket.send("{}").await;
    assert_eq!(socket.close_code().await, 4001);
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let mut claims = claims("default", "read");
    // With the leeway of five seconds it ends in one.
    claims["exp"] = seconds_from_now(-4).into();
    let url = format!("ws://{}/sockets/bash-events", server.address);
    let mut socket = Socket::open_with(&url, Some(&with_secret(SECRET, &claims))).await.unwrap();
    assert_eq!(socket.close_code().await, 4001);
}

#[tokio::test]
async fn who_may_only_read_starts_nothing_over_a_socket() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let url = format!("ws://{}/sockets/bash-events", server.address);
    let command = r#"{"command": "true"}"#;
    let mut reader = Socket::open_with(&url, Some(&token("default", "read"))).await.unwrap();
    reader.send(command).await;
    let complaint = reader.next().await;
    assert_eq!(complaint["code"], "Forbidden", "{complaint}");
    let mut writer = Socket::open_with(&url, Some(&token("default", "read write"))).await.unwrap();
    writer.send(command).await;
    // The reader sees the writer's command first of all: its own was not run.
    let seen = [reader.next().await, reader.next().await];
    assert_eq!([&seen[0]["kind"], &seen[1]["kind"]], ["BashCommand", "BashOutput"], "{seen:?}");
    assert_eq!(seen[1]["command_id"], seen[0]["id"]);
}

async fn cookie(server: &Server, token: &str) -> (String, u64) {
    let request = server.request(Method::POST, "/api/auth/workspace-session").bearer_auth(token);
    let made = request.send().await.unwrap();
    assert_eq!(made.status(), 204);
    let cookie = made.headers()["set-cookie"].to_str().unwrap().to_owned();
    let age = cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    (cookie.split(';').next().unwrap().to_owned(), age)
}

#[tokio::test]
async fn a_workspace_cookie_is_its_tenants_and_is_no_bearer_token() {
    let server = start_with(|config| {
        config.keys = Keys::new(&[KEY.into()]);
        config.site.bearer = Some(bearer());
    })
    .await;
    server.worker.serve_files().await;
    let id = server.conversation("w").await;
    std::fs::write(server.folder().join("w/page.html"), "<p>hello").unwrap();
    let page = format!("/api/conversations/{id}/workspace/page.html");
    let show = async |cookie: &str| {
        server.request(Method::GET, &page).header("cookie", cookie).send().await.unwrap().status().as_u16()
    };
    let (ours, age) = cookie(&server, &token("default", "read")).await;
    let (theirs, _) = cookie(&server, &token("other", "read")).await;
    assert_eq!((show(&ours).await, show(&theirs).await), (200, 404));
    assert!(age <= 65, "the cookie outlives the token: {age}");
    let (_, value) = ours.split_once('=').unwrap();
    assert_eq!(status(&server, value).await, 401);
}

#[tokio::test]
async fn a_cookie_outlives_a_change_of_the_secret_key() {
    let before = start_with(|config| config.site.bearer = Some(bearer())).await;
    let (old, _) = cookie(&before, &token("other", "read")).await;
    let page = "/api/conversations/00000000-0000-4000-8000-000000000001/workspace/a";
    for (previous, wanted) in [(vec!["the secret key".into()], 404), (Vec::new(), 401)] {
        let after = start_with(|config| {
            config.site.bearer = Some(bearer());
            config.secret_key = "the new secret key".into();
            config.site.previous_secret_keys = previous;
        })
        .await;
        let shown = after.request(Method::GET, page).header("cookie", &old).send().await.unwrap();
        assert_eq!(shown.status().as_u16(), wanted);
    }
}
