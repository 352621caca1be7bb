//! Settings that are valid and may be mistakes.

use super::Finding;
use crate::server::config::{Config, RateLimitConfig};

/// The name of the check of the configuration.
pub const CONFIGURATION: &str = "configuration";
const RATE_LIMITS: &str = "rate limits";

/// How many times its default a rate limit may be until it counts as weak.
const WEAK: u32 = 10;

/// The warnings of `check-config`, and weak rate limits.
pub fn check(config: &Config) -> Vec<Finding> {
    let warnings = config.warnings();
    let mut findings = if warnings.is_empty() {
        vec![Finding::ok(CONFIGURATION, format!("valid: {}", config.source))]
    } else {
        warnings.into_iter().map(|warning| Finding::look(CONFIGURATION, warning)).collect()
    };
    findings.push(rate_limits(&config.rate_limit));
    findings
}

fn rate_limits(limits: &RateLimitConfig) -> Finding {
    let Ok(defaults) = Config::load_defaults() else { return Finding::ok(RATE_LIMITS, "") };
    let default = &defaults.rate_limit;
    let table = [
        ("login_burst", limits.login_burst, default.login_burst),
        ("login_per_minute", limits.login_per_minute, default.login_per_minute),
        ("register_burst", limits.register_burst, default.register_burst),
        ("register_per_hour", limits.register_per_hour, default.register_per_hour),
        ("account_free_failures", limits.account_free_failures, default.account_free_failures),
        ("token_calls_per_minute", limits.token_calls_per_minute, default.token_calls_per_minute),
    ];
    let weak = table.into_iter().filter(|(_, limit, default)| *limit >= default.saturating_mul(WEAK));
    let weak: Vec<String> = weak.map(|(key, limit, default)| format!("{key} = {limit} (default {default})")).collect();
    if weak.is_empty() {
        return Finding::ok(RATE_LIMITS, "on");
    }
    let weak = weak.join(", ");
    Finding::look(RATE_LIMITS, format!("passwords can be guessed faster: lower {weak} in [rate_limit]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn weak_rate_limits_are_named() {
        let config = Config::load_defaults().expect("the defaults");
        assert_eq!(rate_limits(&config.rate_limit).status, Status::Ok);
        let weak = RateLimitConfig { login_per_minute: 100, ..config.rate_limit };
        let Finding { status, message, .. } = rate_limits(&weak);
        assert!(status == Status::Look && message.contains("login_per_minute = 100 (default 10)"), "{message}");
    }
}
