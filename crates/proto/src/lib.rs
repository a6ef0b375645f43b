//! Generated messages and stubs of the contract under `proto/`: one module per package.
//!
//! It holds no logic: what the messages mean is written beside each field in the `.proto` files, and every
//! crate turns them into its own types where they arrive.

/// The contract as an encoded `google.protobuf.FileDescriptorSet`, for reflection and for the YAML mapping.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What operators say to the control plane.
pub mod admin {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tollgate.admin.v1.rs"));
    }
}

/// What callers say to nodes.
pub mod completion {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tollgate.completion.v1.rs"));
    }
}

/// What nodes say to the control plane.
pub mod node {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tollgate.node.v1.rs"));
    }
}

/// What operators write.
pub mod policy {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tollgate.policy.v1.rs"));
    }
}
