//! What fuzzers found or began with, read again.

use wi_model::{manifest, parse, target};

#[test]
fn no_file_of_the_corpus_stops_the_parser() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/scenario_file");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for bytes in files.iter().map(|path| std::fs::read(path).unwrap()) {
        let _ = (parse::scenario("s.yaml", &bytes), target::file::read("t.yaml", &bytes));
        if let Ok(text) = parse::text("m.yaml", &bytes) {
            let _ = manifest::objects("m.yaml", text);
        }
    }
}
