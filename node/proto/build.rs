//! Compiles the `.proto` files in pure Rust (protox), so that no protoc is needed to build.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=etcd");
    println!("cargo:rerun-if-changed=peer");
    let files =
        ["rpc.proto", "kv.proto", "health.proto", "peer.proto", "v2.proto", "command.proto"];
    let descriptors = protox::compile(files, ["etcd", "peer"])?;
    let set = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    tonic_prost_build::configure()
        .bytes(".")
        .file_descriptor_set_path(set)
        .compile_fds(descriptors)?;
    Ok(())
}
