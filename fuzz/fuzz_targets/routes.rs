//! A request's path, query and selectors.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wi_embedded_cluster::fuzzing::routes(data));
