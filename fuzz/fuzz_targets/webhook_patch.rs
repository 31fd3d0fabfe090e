//! What a webhook under test answers to an admission review.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wi_embedded_cluster::fuzzing::webhook_patch(data));
