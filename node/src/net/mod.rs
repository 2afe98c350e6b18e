//! Sockets: addresses, listeners, TLS, and connections to other members.
//!
//! Everything that is listened on or dialled goes through here, so that each limit exists
//! once: [`tls`] is the only place that makes a TLS configuration, for clients and peers,
//! listening and dialling; [`accept`] is the only accept loop, with its cap on connections,
//! its deadline for the handshake and its words for who speaks the wrong protocol.
//!
//! The invariant: a [`Connection`] that is handed on has been admitted. If it is encrypted and
//! certificates are asked for, its certificate was verified, is not revoked and may connect.
//!
//! Left to others: what is said on a connection ([`crate::api`], [`crate::consensus`]).

pub mod accept;
mod address;
mod connection;
mod dial;
mod listener;
pub mod pings;
mod security;
mod sniff;
pub mod tls;
mod tunnel;

pub use address::{AddressError, Place, Url, merge};
pub use connection::{Connection, Socket};
pub use dial::Dialer;
pub use listener::{ListenError, Listener, SocketOptions, bind};
pub use security::{Secured, Security, SecurityError, url_without_pair};
pub use tls::{Protocol as TlsProtocol, TlsOptions, Version as TlsVersion};
