//! Which protocol a connection begins with.
//!
//! A TLS connection begins with a handshake record, whose first byte no HTTP request begins
//! with. The byte is looked at and left where it is.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};

use super::connection::Socket;

/// First byte of a TLS handshake record.
const HANDSHAKE: u8 = 0x16;

/// Waits for the first byte; true if TLS begins there.
pub async fn is_tls(socket: &Socket) -> io::Result<bool> {
    let mut first = [0];
    let count = match socket {
        Socket::Tcp(stream) => stream.peek(&mut first).await?,
        Socket::Unix(stream) => loop {
            stream.readable().await?;
            let peek = || Ok(recv(stream.as_raw_fd(), &mut first, MsgFlags::MSG_PEEK)?);
            match stream.try_io(Interest::READABLE, peek) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => break outcome?,
            }
        },
    };
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(first[0] == HANDSHAKE)
}

/// Tells a client that it speaks the wrong protocol, in words that a person at the other
/// side gets to see: HTTP clients print them, gRPC and TLS libraries say that it is HTTP
/// what they got.
pub async fn refuse(mut socket: Socket, why: &str) {
    let reply = format!(
        "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Connection: close\r\n\r\n{why}\n"
    );
    let _ = socket.write_all(reply.as_bytes()).await;
    part(socket).await;
}

/// Closes a connection so that the last words reach the other side: a socket that is closed
/// with unread bytes resets the connection, and what was written is lost.
pub async fn part(mut socket: Socket) {
    let _ = socket.shutdown().await;
    let mut unread = [0; 4096];
    for _ in 0..64 {
        match socket.read(&mut unread).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    }
}
