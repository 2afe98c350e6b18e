//! What is known of a request beside its words: marks in the extensions of its HTTP request.

/// The client showed a certificate that was verified, and this is its common name. Put there
/// for each request of a connection by the listener, if `--client-cert-auth` is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub common_name: String,
}

/// The request was made of a JSON one. It never speaks for the owner of a certificate: on
/// its way through a gateway the certificate may be the gateway's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FromGateway;
