//! A scenario file, a manifest and a target file from a pull request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = wi_model::parse::scenario("s.yaml", data);
    let _ = wi_model::target::file::read("t.yaml", data);
    if let Ok(text) = wi_model::parse::text("m.yaml", data) {
        let _ = wi_model::manifest::objects("m.yaml", text);
    }
});
