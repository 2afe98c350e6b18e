//! What a connection tells about its client beside the requests, as request extensions.

/// The name in the certificate that the client showed, where certificates name users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub common_name: String,
}

/// Marks a request that came through the JSON gateway: no certificate speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromGateway;
