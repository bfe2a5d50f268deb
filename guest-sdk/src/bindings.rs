//! The interfaces that are ours to generate. Those of `wasi:http` come from the crate `wasip3`.
//!
//! One world for all of them: a component keeps of it only the imports that it calls, and exports only what one of
//! the SDK's macros exports.
#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "generated"
)]

wit_bindgen::generate!({
    inline: "
        package tollgate:sdk;

        world guest {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import wasi:config/store@0.2.0-rc.1;
            export tollgate:gate/policy@0.1.0;
        }
    ",
    path: ["../wit/deps/keyvalue", "../wit/deps/config", "../wit/platform", "../wit/gate"],
    world: "tollgate:sdk/guest",
    pub_export_macro: true,
    generate_all,
});
