//! `/debug/pprof/`: where the processor's time goes in this process, for `go tool pprof`.
//!
//! With `--enable-pprof`, on the ports that serve HTTP to clients and nowhere else, as in etcd.
//! One profile is taken at a time; it ends when its client goes away. Samples that hit the C
//! library or the unwinder are left out, because a stack cannot be walked safely from there: time
//! in the kernel is missing. Go's other profiles are of things that do not exist here (heap of a
//! garbage collector, goroutines, its scheduler's trace), so they are not found.
//!
//! The timer and the signal are the crate `pprof`'s, what a profile looks like is [`file`].

mod file;

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use prost::Message;

use super::http::{Reply, error, text};

const PREFIX: &str = "/debug/pprof";
/// Samples a second, as in Go.
const FREQUENCY: i32 = 100;
const SECONDS_DEFAULT: u64 = 30;
const SECONDS_MAX: u64 = 3600;
/// Libraries whose locks a walk of the stack may need.
const UNSAFE_TO_WALK: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

const INDEX: &str = "<html>
<head><title>/debug/pprof/</title></head>
<body>
/debug/pprof/
<ul>
<li><a href=\"profile?seconds=30\">profile</a>: where the processor's time goes, for as many seconds
<li><a href=\"cmdline\">cmdline</a>: the words of the command line
</ul>
</body>
</html>
";

/// Whether a path is of this module.
pub fn owns(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request below `/debug/pprof`.
pub async fn answer(path: &str, query: &[(&str, &str)]) -> Reply {
    match path.strip_prefix(PREFIX).unwrap_or_default() {
        "" => {
            let mut reply = text(StatusCode::MOVED_PERMANENTLY, "");
            let place = header::HeaderValue::from_static("/debug/pprof/");
            reply.headers_mut().insert(header::LOCATION, place);
            reply
        }
        "/" => body("text/html; charset=utf-8", INDEX.into()),
        "/cmdline" => {
            let words: Vec<String> =
                std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
            text(StatusCode::OK, words.join("\0"))
        }
        "/profile" => profile(Duration::from_secs(seconds(query))).await,
        _ => error(StatusCode::NOT_FOUND, "Unknown profile"),
    }
}

fn body(content_type: &'static str, content: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(content));
    let kind = header::HeaderValue::from_static(content_type);
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

/// What is no positive number is Go's default.
fn seconds(query: &[(&str, &str)]) -> u64 {
    let given = query.iter().find(|(name, _)| *name == "seconds");
    match given.and_then(|(_, value)| value.parse::<u64>().ok()) {
        None | Some(0) => SECONDS_DEFAULT,
        Some(seconds) => seconds.min(SECONDS_MAX),
    }
}

async fn profile(duration: Duration) -> Reply {
    let refused = |reason: &dyn std::fmt::Display| {
        let line = format!("Could not enable CPU profiling: {reason}");
        error(StatusCode::INTERNAL_SERVER_ERROR, &line)
    };
    let started = pprof::ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&UNSAFE_TO_WALK)
        .build();
    let guard = match started {
        Ok(guard) => guard,
        Err(pprof::Error::Running) => return refused(&"cpu profiling already in use"),
        Err(reason) => return refused(&reason),
    };
    tracing::info!(seconds = duration.as_secs(), "taking a CPU profile");
    tokio::time::sleep(duration).await;
    // Finding names for addresses reads the program's symbols, which takes a while.
    let named = tokio::task::spawn_blocking(move || {
        guard.report().build().map(|report| file::profile(&report).encode_to_vec())
    });
    match named.await {
        Ok(Ok(profile)) => {
            let mut reply = body("application/octet-stream", profile.into());
            let name = header::HeaderValue::from_static("attachment; filename=\"profile\"");
            reply.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            reply
        }
        Ok(Err(reason)) => refused(&reason),
        Err(reason) => refused(&reason),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn paths_of_this_module() {
        assert!(owns("/debug/pprof") && owns("/debug/pprof/") && owns("/debug/pprof/heap"));
        assert!(!owns("/debug/pprofile") && !owns("/debug/vars"));
    }

    #[test]
    fn odd_durations_are_gos_default_and_long_ones_end() {
        for odd in ["", "0", "-1", "x", "99999999999999999999"] {
            assert_eq!(seconds(&[("seconds", odd)]), SECONDS_DEFAULT, "{odd}");
        }
        assert_eq!(seconds(&[("debug", "1"), ("seconds", "2")]), 2);
        assert_eq!(seconds(&[("seconds", "86400")]), SECONDS_MAX);
    }

    #[tokio::test]
    async fn what_go_alone_has_is_not_found() {
        for name in ["heap", "goroutine", "trace", "nothing"] {
            let reply = answer(&format!("{PREFIX}/{name}"), &[]).await;
            assert_eq!(reply.status(), StatusCode::NOT_FOUND, "{name}");
        }
        assert_eq!(answer(PREFIX, &[]).await.status(), StatusCode::MOVED_PERMANENTLY);
    }

    #[tokio::test]
    async fn a_thread_that_works_is_in_the_one_profile_that_is_taken() {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let worker = std::thread::Builder::new().name("hard-worker".into());
        let worker = worker.spawn(move || while !stopped.load(Ordering::Relaxed) {}).unwrap();
        let query = [("seconds", "1")];
        let (taken, refused) = tokio::join!(
            answer("/debug/pprof/profile", &query),
            answer("/debug/pprof/profile", &query)
        );
        stop.store(true, Ordering::Relaxed);
        worker.join().unwrap();
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(taken.status(), StatusCode::OK);
        let bytes = taken.into_body().collect().await.unwrap().to_bytes();
        let profile = file::Profile::decode(bytes).unwrap();
        assert_eq!((profile.period, profile.string_table[0].as_str()), (10_000_000, ""));
        let of_worker = profile
            .sample
            .iter()
            .filter(|sample| profile.string_table[sample.label[0].text as usize] == "hard-worker");
        assert!(of_worker.map(|sample| sample.value[0]).sum::<i64>() > 0);
        // The next one is not refused.
        assert_eq!(answer("/debug/pprof/profile", &query).await.status(), StatusCode::OK);
    }
}
