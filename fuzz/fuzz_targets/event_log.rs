//! The event log and the record of a run that somebody hands over.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = wi_report::read(&text);
    if let Ok(run) = wi_report::fold(&text) {
        let shown = wi_report::text(&run);
        assert!(
            !shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'),
            "a control character reaches a terminal"
        );
        let _ = (wi_report::junit(&run), wi_report::html(&run, &|_, _| None), wi_report::markdown(&run, 1 << 20));
    }
});
