//! Hashing passwords and comparing them, off the threads that serve everybody.
//!
//! bcrypt is slow on purpose. A few threads do it, and few may wait for them: a flood of
//! logins makes other logins wait or be refused, never a read, a write or a heartbeat. An
//! unknown user costs the same time as a wrong password, so that time does not tell names.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Logins that may wait for a thread.
const WAITING_MAX: usize = 256;
/// bcrypt looks no further; etcd refuses what is longer.
const PASSWORD_BYTES_MAX: usize = 72;

/// See the module.
pub struct Passwords {
    cost: u32,
    threads: Semaphore,
    inside: AtomicUsize,
    limit: usize,
    /// Compared with when there is no such user.
    nobody: String,
}

/// Why there is no hash, or no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("bcrypt: password length exceeds 72 bytes")]
    TooLong,
    #[error("etcdserver: too many requests")]
    TooMany,
    #[error("the password could not be hashed")]
    Failed,
}

/// Counts itself out when its work is over or given up.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// `cost` is bcrypt's, from 4 to 31.
    pub fn new(cost: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // One core is left for everything else.
        let threads = (cores - 1).max(1);
        Self {
            cost,
            threads: Semaphore::new(threads),
            inside: AtomicUsize::new(0),
            limit: threads + WAITING_MAX,
            // 22 characters of salt and 31 of hash, of no password at all.
            nobody: format!("$2a${cost:02}${}", ".".repeat(53)),
        }
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, PasswordError> {
        let inside = Inside(&self.inside);
        if self.inside.fetch_add(1, Ordering::Relaxed) >= self.limit {
            return Err(PasswordError::TooMany);
        }
        let permit = self.threads.acquire().await.map_err(|_| PasswordError::Failed)?;
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Failed);
        drop(permit);
        drop(inside);
        done
    }

    /// A hash to store.
    pub async fn hash(&self, password: String) -> Result<Vec<u8>, PasswordError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let cost = self.cost;
        let hashed = self.run(move || bcrypt::hash_with_result(password, cost)).await?;
        let hashed = hashed.map_err(|_| PasswordError::Failed)?;
        // The mark that etcd's own hashes carry.
        Ok(hashed.format_for_version(bcrypt::Version::TwoA).into_bytes())
    }

    /// Whether the password has this hash; `None`: there is no such user.
    pub async fn verify(
        &self,
        password: String,
        hash: Option<Vec<u8>>,
    ) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = match hash.and_then(|hash| String::from_utf8(hash).ok()) {
            Some(hash) => hash,
            None => self.nobody.clone(),
        };
        let verified = self.run(move || bcrypt::verify(password, &hash).unwrap_or(false)).await?;
        Ok(verified && known)
    }

    /// Whether these bytes are a bcrypt hash, to be stored as they are.
    pub fn is_hash(bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<bcrypt::HashParts>().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn only_the_password_has_its_hash() {
        let passwords = Passwords::new(4);
        run(async {
            let hash = passwords.hash("secret".into()).await.unwrap();
            assert!(hash.starts_with(b"$2a$04$") && hash.len() == 60);
            assert!(Passwords::is_hash(&hash));
            assert_eq!(passwords.verify("secret".into(), Some(hash.clone())).await, Ok(true));
            assert_eq!(passwords.verify("Secret".into(), Some(hash)).await, Ok(false));
            assert_eq!(passwords.verify("secret".into(), None).await, Ok(false));
            assert_eq!(passwords.verify("secret".into(), Some(Vec::new())).await, Ok(false));
        });
    }

    #[test]
    fn what_is_compared_with_for_nobody_is_a_hash_of_the_same_cost() {
        let passwords = Passwords::new(5);
        let parts: bcrypt::HashParts = passwords.nobody.parse().unwrap();
        assert_eq!(parts.get_cost(), 5);
        assert!(bcrypt::verify("anything", &passwords.nobody).is_ok(), "it is really compared");
    }

    #[test]
    fn what_bcrypt_would_cut_is_refused() {
        let passwords = Passwords::new(4);
        let long = "x".repeat(73);
        assert_eq!(run(passwords.hash(long)), Err(PasswordError::TooLong));
        assert!(run(passwords.hash("x".repeat(72))).is_ok());
    }

    #[test]
    fn a_flood_is_refused_and_leaves_no_trace() {
        let passwords = Passwords::new(4);
        passwords.inside.store(passwords.limit, Ordering::Relaxed);
        let refused = run(passwords.verify("a".into(), None));
        assert_eq!(refused, Err(PasswordError::TooMany));
        assert_eq!(passwords.inside.load(Ordering::Relaxed), passwords.limit);
        passwords.inside.store(0, Ordering::Relaxed);
        assert_eq!(run(passwords.verify("a".into(), None)), Ok(false));
        assert_eq!(passwords.inside.load(Ordering::Relaxed), 0);
    }
}
