//! How the health checks of `/livez` and `/readyz` ended.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::page::Page;

#[derive(Default)]
struct Ends {
    healthy: bool,
    successes: u64,
    errors: u64,
}

/// By kind (`livez`, `readyz`) and name of the check.
#[derive(Default)]
pub struct Checks(Mutex<BTreeMap<(&'static str, &'static str), Ends>>);

impl Checks {
    /// A check has ended.
    pub fn ended(&self, kind: &'static str, name: &'static str, healthy: bool) {
        let mut checks = self.0.lock();
        let ends = checks.entry((kind, name)).or_default();
        ends.healthy = healthy;
        *(if healthy { &mut ends.successes } else { &mut ends.errors }) += 1;
    }

    pub(super) fn write(&self, page: &mut Page) {
        let checks = self.0.lock();
        let labels = |kind: &str, name: &str| format!("name=\"{name}\",type=\"{kind}\"");
        let now: Vec<_> = checks
            .iter()
            .map(|((kind, name), ends)| (labels(kind, name), f64::from(ends.healthy)))
            .collect();
        let help = "The result of each kind of healthcheck.";
        page.labelled("etcd_server_healthcheck", "gauge", help, &now);
        let mut counts = Vec::new();
        for ((kind, name), ends) in checks.iter() {
            for (status, count) in [("success", ends.successes), ("error", ends.errors)] {
                if count > 0 {
                    let labels = format!("name=\"{name}\",status=\"{status}\",type=\"{kind}\"");
                    counts.push((labels, count as f64));
                }
            }
        }
        let help = "The total number of each kind of healthcheck.";
        page.labelled("etcd_server_healthchecks_total", "counter", help, &counts);
    }
}
