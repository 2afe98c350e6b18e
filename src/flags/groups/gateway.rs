//! The JSON gateway.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean};

pub const SECTION: Section = Section {
    title: "Gateway",
    flags: &[boolean("enable-grpc-gateway", "true", "Serve gRPC as JSON over HTTP below /v3/.")],
};

/// Whether it is served.
pub fn build(settings: &Settings) -> Result<bool, FlagError> {
    settings.boolean("enable-grpc-gateway")
}
