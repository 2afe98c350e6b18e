//! Asking an HTTP proxy for a tunnel to another member.
//!
//! After a good answer the connection belongs to the two ends; the proxy says nothing more.
//! Not a byte is read beyond the answer, because what follows it is the other member's.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest answer. Proxies answer in a line or two.
const ANSWER_MAX: usize = 4096;

/// Asks for a tunnel to `address` (`host:port`).
pub async fn ask<S>(stream: &mut S, address: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ask = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == ANSWER_MAX {
            return Err(io::Error::other("the proxy between members answers without an end"));
        }
        answer.push(stream.read_u8().await?);
    }
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("the proxy between members answered {line:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: &[u8]) -> (io::Result<()>, Vec<u8>) {
        let (mut here, mut there) = tokio::io::duplex(1 << 16);
        there.write_all(answer).await.unwrap();
        let outcome = ask(&mut here, "10.0.0.1:2380").await;
        let mut asked = [0; 53];
        there.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"CONNECT 10.0.0.1:2380 HTTP/1.1\r\nHost: 10.0.0.1:2380\r\n");
        drop(there);
        let mut rest = Vec::new();
        here.read_to_end(&mut rest).await.unwrap();
        (outcome, rest)
    }

    #[tokio::test]
    async fn what_follows_the_answer_belongs_to_the_other_end() {
        let (outcome, rest) = answered(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nhello").await;
        assert!(outcome.is_ok());
        assert_eq!(rest, b"hello");
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_status() {
        let (outcome, _) = answered(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
        assert!(outcome.unwrap_err().to_string().contains("403 Forbidden"));
        for nonsense in [&b"\r\n\r\n"[..], b"x\r\n\r\n", &[0; 5000]] {
            assert!(answered(nonsense).await.0.is_err());
        }
    }
}
