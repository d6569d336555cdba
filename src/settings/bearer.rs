//! `OH_JWT_*`: which bearer tokens are accepted. One of them there, and all that is needed has to be.

use std::time::Duration;

use gateway::config::{Bearer, BearerKeys, KeyPlace, Signature};
use secrecy::SecretString;

use super::{Invalid, Source};

/// RFC 7518, 3.2: a key has at least the length of the hash.
const SHORTEST_SECRET: usize = 32;

const FIELDS: [&str; 7] = [
    "jwt_algorithm",
    "jwt_secret",
    "jwt_public_key_file",
    "jwt_jwks_file",
    "jwt_issuer",
    "jwt_audience",
    "jwt_leeway_seconds",
];

/// # Errors
/// The first setting that is missing, cannot be used, or does not go with the algorithm.
pub fn read(source: &Source) -> Result<Option<Bearer>, Invalid> {
    let mut given = !source.list("jwt_previous_secrets")?.is_empty();
    for field in FIELDS {
        given |= source.text(field)?.is_some();
    }
    if !given {
        return Ok(None);
    }
    let algorithm = source.choice("jwt_algorithm")?;
    let keys = match algorithm.ok_or_else(|| missing("jwt_algorithm"))? {
        "HS256" => secrets(source)?,
        "EdDSA" => public(source, Signature::EdDsa)?,
        _ => public(source, Signature::Rs256)?,
    };
    let leeway = source.whole("jwt_leeway_seconds")?.unwrap_or(30);
    Ok(Some(Bearer {
        keys,
        issuer: required(source, "jwt_issuer")?,
        audience: required(source, "jwt_audience")?,
        leeway: Duration::from_secs(leeway),
    }))
}

fn secrets(source: &Source) -> Result<BearerKeys, Invalid> {
    refuse(source, &["jwt_public_key_file", "jwt_jwks_file"], "HS256 takes OH_JWT_SECRET")?;
    let mut secrets = vec![secret("jwt_secret", required(source, "jwt_secret")?)?];
    for previous in source.list("jwt_previous_secrets")? {
        secrets.push(secret("jwt_previous_secrets", previous)?);
    }
    Ok(BearerKeys::Secrets(secrets))
}

fn secret(field: &str, text: String) -> Result<SecretString, Invalid> {
    if text.len() < SHORTEST_SECRET {
        return Err(Invalid::new(field, format!("must have at least {SHORTEST_SECRET} bytes")));
    }
    Ok(text.into())
}

fn public(source: &Source, signature: Signature) -> Result<BearerKeys, Invalid> {
    refuse(source, &["jwt_secret"], "only HS256 takes a secret")?;
    if !source.list("jwt_previous_secrets")?.is_empty() {
        return Err(Invalid::new("jwt_previous_secrets", "cannot be used: only HS256 takes a secret"));
    }
    let (pem, jwks) = (source.text("jwt_public_key_file")?, source.text("jwt_jwks_file")?);
    let file = match (pem, jwks) {
        (Some(pem), None) => KeyPlace::Pem(pem.into()),
        (None, Some(jwks)) => KeyPlace::Jwks(jwks.into()),
        (None, None) => return Err(Invalid::new("jwt_public_key_file", "or OH_JWT_JWKS_FILE is needed")),
        (Some(_), Some(_)) => {
            return Err(Invalid::new("jwt_jwks_file", "cannot be used beside OH_JWT_PUBLIC_KEY_FILE"));
        }
    };
    Ok(BearerKeys::Public { signature, file })
}

fn refuse(source: &Source, fields: &[&str], why: &str) -> Result<(), Invalid> {
    for field in fields {
        if source.text(field)?.is_some() {
            return Err(Invalid::new(field, format!("cannot be used: {why}")));
        }
    }
    Ok(())
}

fn required(source: &Source, field: &str) -> Result<String, Invalid> {
    source.text(field)?.ok_or_else(|| missing(field))
}

fn missing(field: &str) -> Invalid {
    Invalid::new(field, "is needed for bearer tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: (&str, &str) = ("OH_JWT_SECRET", "0123456789abcdef0123456789abcdef");
    const ISSUER: (&str, &str) = ("OH_JWT_ISSUER", "https://id.example");
    const AUDIENCE: (&str, &str) = ("OH_JWT_AUDIENCE", "manyhands");
    const PEM: (&str, &str) = ("OH_JWT_PUBLIC_KEY_FILE", "/k.pem");
    const JWKS: (&str, &str) = ("OH_JWT_JWKS_FILE", "/k.json");

    fn algorithm(name: &'static str) -> (&'static str, &'static str) {
        ("OH_JWT_ALGORITHM", name)
    }

    fn read_from(variables: &[(&str, &str)]) -> Result<Option<Bearer>, Invalid> {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        read(&Source::new(environment, serde_json::json!({})))
    }

    fn refusal(variables: &[(&str, &str)]) -> String {
        let Err(invalid) = read_from(variables) else { panic!("{variables:?} was accepted") };
        invalid.to_string()
    }

    #[test]
    fn without_any_setting_there_are_no_bearer_tokens() {
        assert!(read_from(&[]).unwrap().is_none());
    }

    #[test]
    fn each_algorithm_takes_its_own_kind_of_key() {
        let previous = ("OH_JWT_PREVIOUS_SECRETS_0", "fedcba9876543210fedcba9876543210");
        let secret = read_from(&[algorithm("HS256"), SECRET, previous, ISSUER, AUDIENCE]).unwrap().unwrap();
        assert!(matches!(secret.keys, BearerKeys::Secrets(secrets) if secrets.len() == 2));
        assert_eq!(secret.leeway, Duration::from_secs(30));
        let pem = read_from(&[algorithm("rs256"), PEM, ISSUER, AUDIENCE]).unwrap().unwrap();
        let file = KeyPlace::Pem("/k.pem".into());
        assert!(matches!(pem.keys, BearerKeys::Public { signature: Signature::Rs256, file: f } if f == file));
        let jwks = read_from(&[algorithm("EdDSA"), JWKS, ISSUER, AUDIENCE]).unwrap().unwrap();
        let file = KeyPlace::Jwks("/k.json".into());
        assert!(
            matches!(jwks.keys, BearerKeys::Public { signature: Signature::EdDsa, file: f } if f == file)
        );
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named_and_no_secret_is_shown() {
        for (variables, name) in [
            (&[SECRET, ISSUER, AUDIENCE][..], "OH_JWT_ALGORITHM "),
            (&[algorithm("none"), SECRET, ISSUER, AUDIENCE], "OH_JWT_ALGORITHM "),
            (&[algorithm("HS256"), ISSUER, AUDIENCE], "OH_JWT_SECRET "),
            (&[algorithm("HS256"), SECRET, AUDIENCE], "OH_JWT_ISSUER "),
            (&[algorithm("HS256"), SECRET, ISSUER], "OH_JWT_AUDIENCE "),
            (&[algorithm("HS256"), SECRET, PEM, ISSUER, AUDIENCE], "OH_JWT_PUBLIC_KEY_FILE "),
            (&[algorithm("RS256"), SECRET, PEM, ISSUER, AUDIENCE], "OH_JWT_SECRET "),
            (&[algorithm("RS256"), ISSUER, AUDIENCE], "OH_JWT_PUBLIC_KEY_FILE "),
            (&[algorithm("EdDSA"), PEM, JWKS, ISSUER, AUDIENCE], "OH_JWT_JWKS_FILE "),
            (&[algorithm("HS256"), ("OH_JWT_SECRET", "short-secret"), ISSUER, AUDIENCE], "OH_JWT_SECRET "),
            (&[algorithm("EdDSA"), PEM, ISSUER, AUDIENCE, ("OH_JWT_LEEWAY_SECONDS", "601")], "OH_JWT_LEEWAY"),
        ] {
            let text = refusal(variables);
            assert!(text.starts_with(name), "{text}");
            assert!(!text.contains(SECRET.1) && !text.contains("short-secret"), "{text}");
        }
    }
}
