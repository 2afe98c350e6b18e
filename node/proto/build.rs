//! Compiles the `.proto` files in pure Rust (protox), so that no protoc is needed to build.

use std::path::PathBuf;

use prost::Message as _;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=etcd");
    println!("cargo:rerun-if-changed=peer");
    let files = [
        "rpc.proto",
        "kv.proto",
        "auth.proto",
        "auth_service.proto",
        "v3lock.proto",
        "v3election.proto",
        "health.proto",
        "peer.proto",
        "v2.proto",
        "command.proto",
    ];
    let descriptors = protox::compile(files, ["etcd", "peer"])?;
    // What the services are, for whoever needs to know at run time.
    let set = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(set, without_sources(descriptors.clone()).encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}

/// Comments and line numbers are of no use at run time.
fn without_sources(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}
