//! What must hold of the page whatever a record says; how it looks and behaves is tested in a browser.

use regex::Regex;
use wi_model::record::{Moment, Outcome};
use wi_model::verdict::Hop;

use super::path::{State, states};
use super::*;
use crate::example;

fn none(_: &Record, _: &str) -> Option<String> {
    None
}

#[test]
fn the_verdict_is_first_and_the_broken_hop_stands_with_expected_observed_advice_and_place() {
    let page = html(&example::run(), &none);
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part} is missing"));
    assert!(at("Not conformant") < at("Failures"));
    assert!(at("Failures") < at("id=\"case-a/fails\""));
    assert!(at("id=\"case-a/fails\"") < at("id=\"case-a/passes\""));
    assert!(page.contains("Failed at <strong>Entra</strong> (1 case)"));
    for part in [
        "<li class=\"broke\"><span class=\"hop\">Entra</span><span class=\"state\">✗ failed here</span></li>",
        "<p>an access token of client c</p>",
        "refused with AADSTS700211 (HTTP 401)\u{2400}: &lt;issuer&gt;",
        "compare the issuers",
        "scenarios/a/fails.yaml:9:5",
        "no case in this run",
    ] {
        at(part);
    }
    let open: Vec<&str> = page.split("<details class=\"case ").skip(1).collect();
    assert_eq!(open.len(), 6);
    assert!(open.iter().all(|case| case.split('>').next().unwrap().ends_with(" open")
        == (!case.starts_with("pass") && !case.starts_with("exp") && !case.starts_with("not"))));
}

#[test]
fn nothing_is_loaded_and_every_link_goes_to_the_page_to_evidence_or_to_a_source() {
    let page = html(&example::run(), &none);
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"));
    let attribute = Regex::new(r#"\s(src|srcset|data|poster|background|action|ping|integrity)\s*="#).unwrap();
    let outside_of_style_and_script = page.replace(STYLE, "").replace(SCRIPT, "");
    assert_eq!(attribute.find(&outside_of_style_and_script), None);
    let element = Regex::new(r"(?i)<(link|img|iframe|object|embed|video|audio|source|base|image|use)\b").unwrap();
    assert_eq!(element.find(&outside_of_style_and_script), None);
    for word in ["url(", "@import", "fetch(", "XMLHttpRequest", "import(", "WebSocket", "sendBeacon", "EventSource"] {
        assert!(!STYLE.contains(word) && !SCRIPT.contains(word), "{word}");
    }
    let href = Regex::new(r#"<([a-z]+)[^>]* href="([^"]*)""#).unwrap();
    for found in href.captures_iter(&outside_of_style_and_script) {
        assert_eq!(&found[1], "a", "only links have an address: {}", &found[0]);
        assert!(
            ["#", "./cases/", "https://example.test/"].iter().any(|start| found[2].starts_with(start)),
            "{}",
            &found[0]
        );
    }
}

#[test]
fn no_text_of_a_record_breaks_out_of_its_place() {
    let nasty = "</script><script>alert(1)</script><!--\" onload='x' <img src=//evil> \u{202e}\u{0}]]>&lt;";
    let mut run = example::run();
    run.cases.iter_mut().for_each(|case| case.artefacts = vec!["x.json".into()]);
    let clean_tags = |page: &str| {
        Regex::new(r"<(/?[a-zA-Z!][^\s>]*)").unwrap().find_iter(page).map(|m| m.as_str().to_owned()).collect::<Vec<_>>()
    };
    let before = clean_tags(&html(&run, &|_, _| Some("text".into())));
    run.environment.target = nasty.into();
    run.environment.webhook = nasty.into();
    run.run = nasty.into();
    for case in &mut run.cases {
        case.title = nasty.into();
        case.file = nasty.into();
        case.artefacts = vec![nasty.replace('/', "")];
        case.reason = case.reason.take().map(|_| nasty.into());
        for failure in &mut case.failures {
            failure.observed = nasty.into();
            failure.expected = nasty.into();
            failure.advice = Some(nasty.into());
        }
    }
    let page = html(&run, &|_, _| Some(nasty.into()));
    assert_eq!(clean_tags(&page), before, "the same elements, whatever the text");
    assert!(!page.contains('\u{202e}') && !page.contains('\0'));
}

#[test]
fn a_link_leads_nowhere_but_below_the_page() {
    assert_eq!(link_below("cases/a b/é\"?#.json").unwrap(), "./cases/a%20b/%C3%A9%22%3F%23.json");
    assert_eq!(link_below("javascript:alert(1)").unwrap(), "./javascript%3Aalert%281%29");
    for wrong in ["../../etc/passwd", "/etc/passwd", "a//b", "a/./b"] {
        assert_eq!(link_below(wrong), None, "{wrong}");
    }
    assert_eq!(source("javascript:alert(1)").into_string(), "javascript:alert(1)");
    assert_eq!(anchor("case", "a/ü \"x"), "case-a/~c3~bc~20~22x");
}

#[test]
fn each_hop_of_the_path_says_how_it_went() {
    let mut case = example::run().cases.remove(0);
    case.checks[0].met = true;
    let told = |case: &Record| states(case).into_iter().map(|(_, state)| state).collect::<Vec<_>>();
    use State::{Broke, CutShort, Followed, Held, NotReached, Unasked};
    assert_eq!(told(&case), [Held, Held, Unasked, Unasked, Broke, NotReached]);
    let mut later = case.failures[0].clone();
    later.hop = Hop::Secret;
    case.failures.push(later.clone());
    assert_eq!(told(&case)[5], Followed);
    later.hop = Hop::SetUp;
    case.failures.push(later);
    assert_eq!(told(&case)[0], CutShort, "what came after the broken hop was left out, and is not what broke");
    case.failures.rotate_right(1);
    assert_eq!(told(&case)[0], Broke);
    case.failures.rotate_left(1);
    case.failures.clear();
    case.checks.clear();
    assert_eq!(told(&case), [], "a case that was not begun has no path");
    case.outcome = Outcome::Blocked;
    case.timeline.push(Moment { at_ms: 0, what: "setting up".into() });
    assert_eq!(told(&case), [Broke, NotReached, NotReached, NotReached, NotReached, NotReached]);
}

#[test]
fn evidence_is_shown_with_red_cases_and_never_more_than_a_page_can_bear() {
    let mut run = example::run();
    let case = run.cases[0].clone();
    run.cases =
        (0..400).map(|i| Record { id: format!("a/{i}"), artefacts: vec!["x.json".into()], ..case.clone() }).collect();
    let text = "e".repeat(20 * 1024);
    let page = html(&run, &|_, _| Some(text.clone()));
    let shown = page.matches("<pre").count();
    assert!(shown > 100 && page.len() < DOCUMENTS * 2, "{shown} documents, {} bytes", page.len());
    assert_eq!(page.matches("./cases/a/fails/x.json").count(), 400, "what is not shown is linked");
}
