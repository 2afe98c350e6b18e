//! How users prove who they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use node::config::{Auth, AuthToken, Jwt};

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, number, text};
use crate::flags::values;

pub const SECTION: Section = Section {
    title: "Authentication",
    flags: &[
        text(
            "auth-token",
            "simple",
            "Kind of token that a login gives: 'simple', or 'jwt,sign-method=…,priv-key=…,\
             pub-key=…,ttl=…' (files; without priv-key tokens are only checked).",
        ),
        number("auth-token-ttl", "300", "Seconds a simple token lives after its last use."),
        number("bcrypt-cost", "10", "Cost of hashing a password, 4 to 31."),
    ],
};

/// What bcrypt knows.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;
const COST_DEFAULT: u32 = 10;
const TTL_DEFAULT: u64 = 300;

/// A cost that bcrypt does not know is no reason not to start, as in etcd.
pub fn build(settings: &Settings, warnings: &mut Vec<String>) -> Result<Auth, FlagError> {
    let cost: u32 = settings.number("bcrypt-cost")?;
    let bcrypt_cost = if COSTS.contains(&cost) { cost } else { COST_DEFAULT };
    if cost != bcrypt_cost {
        warnings.push(format!(
            "--bcrypt-cost={cost} is not from 4 to 31; {COST_DEFAULT} is used instead"
        ));
    }
    let seconds = match settings.number("auth-token-ttl")? {
        0 => TTL_DEFAULT,
        seconds => seconds,
    };
    Ok(Auth {
        token: token(settings, warnings)?,
        token_ttl: Duration::from_secs(seconds),
        bcrypt_cost,
    })
}

fn token(settings: &Settings, warnings: &mut Vec<String>) -> Result<AuthToken, FlagError> {
    let invalid = |reason: String| settings.invalid("auth-token", reason);
    let mut words = settings.text("auth-token").split(',');
    let kind = words.next().unwrap_or_default();
    let mut options = BTreeMap::new();
    for word in words {
        let Some((name, value)) = word.split_once('=').filter(|(_, value)| !value.contains('='))
        else {
            return Err(invalid(format!("{word:?} is not name=value")));
        };
        if options.insert(name, value).is_some() {
            return Err(invalid(format!("{name} is there twice")));
        }
    }
    match kind {
        "simple" => Ok(AuthToken::Simple),
        "jwt" => jwt(options, warnings).map(AuthToken::Jwt).map_err(invalid),
        _ => Err(invalid("it is 'simple' or 'jwt,…'".into())),
    }
}

fn jwt(mut options: BTreeMap<&str, &str>, warnings: &mut Vec<String>) -> Result<Jwt, String> {
    let mut file = |name| options.remove(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (public_key, private_key) = (file("pub-key"), file("priv-key"));
    let sign_method = options.remove("sign-method").unwrap_or_default().to_owned();
    if sign_method.is_empty() {
        return Err("jwt needs a sign-method".into());
    }
    let ttl = match options.remove("ttl") {
        None | Some("") => Duration::from_secs(TTL_DEFAULT),
        Some(text) => values::duration(text).map_err(|_| "ttl is a duration like 5m".to_owned())?,
    };
    for name in options.keys() {
        warnings.push(format!("--auth-token: unknown option {name}"));
    }
    Ok(Jwt { sign_method, public_key, private_key, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn an_unknown_cost_is_replaced_and_told() {
        let chosen = options(&["--bcrypt-cost=3"]).unwrap();
        assert_eq!((chosen.auth.bcrypt_cost, chosen.warnings.len()), (10, 1));
        assert_eq!(options(&["--bcrypt-cost=31"]).unwrap().auth.bcrypt_cost, 31);
        assert!(options(&["--bcrypt-cost=-1"]).is_err());
    }

    #[test]
    fn signed_tokens_say_how() {
        let token = |text: &str| {
            options(&[&format!("--auth-token={text}")]).map(|o| (o.auth.token, o.warnings.len()))
        };
        let jwt = Jwt {
            sign_method: "RS256".into(),
            public_key: Some("a.pub".into()),
            private_key: Some("a.key".into()),
            ttl: Duration::from_secs(600),
        };
        assert_eq!(
            token("jwt,pub-key=a.pub,priv-key=a.key,sign-method=RS256,ttl=10m"),
            Ok((AuthToken::Jwt(jwt.clone()), 0))
        );
        let bare = Jwt { public_key: None, ttl: Duration::from_secs(300), ..jwt };
        assert_eq!(
            token("jwt,sign-method=RS256,priv-key=a.key,colour=red"),
            Ok((AuthToken::Jwt(bare), 1)),
            "etcd warns of what it does not know"
        );
        for bad in ["", "jwt", "jot", "jwt,sign-method", "jwt,sign-method=a=b"] {
            assert!(token(bad).is_err(), "{bad}");
        }
        assert!(token("jwt,sign-method=RS256,sign-method=RS256").is_err());
        assert!(token("jwt,sign-method=RS256,ttl=soon").is_err());
    }

    #[test]
    fn a_token_that_would_never_live_lives_for_the_default() {
        let ttl = |text: &str| {
            options(&[&format!("--auth-token-ttl={text}")]).map(|options| options.auth.token_ttl)
        };
        assert_eq!(ttl("0"), Ok(Duration::from_secs(300)));
        assert_eq!(ttl("5"), Ok(Duration::from_secs(5)));
    }
}
