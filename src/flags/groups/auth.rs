//! How users prove who they are.

use std::time::Duration;

use node::config::{Auth, AuthToken};

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, number, text};

pub const SECTION: Section = Section {
    title: "Authentication",
    flags: &[
        text("auth-token", "simple", "Kind of token that a login gives: 'simple'."),
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
    Ok(Auth { token: token(settings)?, token_ttl: Duration::from_secs(seconds), bcrypt_cost })
}

fn token(settings: &Settings) -> Result<AuthToken, FlagError> {
    match settings.text("auth-token") {
        "simple" => Ok(AuthToken::Simple),
        _ => Err(settings.invalid("auth-token", "it is 'simple'".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::flags::testing::options;

    #[test]
    fn an_unknown_cost_is_replaced_and_told() {
        let chosen = options(&["--bcrypt-cost=3"]).unwrap();
        assert_eq!((chosen.auth.bcrypt_cost, chosen.warnings.len()), (10, 1));
        assert_eq!(options(&["--bcrypt-cost=31"]).unwrap().auth.bcrypt_cost, 31);
        assert!(options(&["--bcrypt-cost=-1"]).is_err());
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
