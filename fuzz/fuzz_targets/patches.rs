//! JSON, merge, strategic merge and apply patches of a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wi_embedded_cluster::fuzzing::patches(data));
