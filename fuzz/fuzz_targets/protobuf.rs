//! A body in Kubernetes protobuf.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wi_embedded_cluster::fuzzing::protobuf(data));
