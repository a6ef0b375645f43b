//! Compiles the contract under `proto/` with protox, so that no `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 11] = [
    "tollgate/admin/v1/key_service.proto",
    "tollgate/admin/v1/limit_service.proto",
    "tollgate/admin/v1/node_service.proto",
    "tollgate/admin/v1/policy_service.proto",
    "tollgate/admin/v1/subject_service.proto",
    "tollgate/completion/v1/completion.proto",
    "tollgate/completion/v1/embedding.proto",
    "tollgate/completion/v1/model.proto",
    "tollgate/node/v1/config.proto",
    "tollgate/node/v1/quota.proto",
    "tollgate/policy/v1/policy.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .client_mod_attribute(".", "#[cfg(feature = \"stubs\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"stubs\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
