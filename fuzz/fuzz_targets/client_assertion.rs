//! A client assertion, before anything of it is verified.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wi_azure_emulator::fuzzing::client_assertion(data));
