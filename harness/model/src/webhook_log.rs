//! What a webhook's log tells of its own failures: panics, and calls that the API server refused. Pure.

use serde_json::Value;

/// How much of a panic is told: the goroutine's first lines.
const PANIC_LINES: usize = 12;
/// How many characters a finding may have.
const LONGEST: usize = 1200;

/// The texts that a log says, a line each. Webhooks write JSON objects whose message may hold lines of its own.
fn texts(log: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for line in log.lines() {
        let Ok(Value::Object(entry)) = serde_json::from_str::<Value>(line) else {
            texts.push(line.to_owned());
            continue;
        };
        let part = |names: [&str; 2]| names.into_iter().find_map(|name| entry.get(name)?.as_str());
        let message = part(["message", "msg"]).unwrap_or_default();
        let said = match part(["error", "err"]) {
            Some(error) if !message.contains(error) => format!("{message}: {error}"),
            _ => message.to_owned(),
        };
        texts.extend(said.lines().map(str::to_owned));
        texts.extend(part(["stacktrace", "stack"]).into_iter().flat_map(str::lines).map(str::to_owned));
    }
    texts
}

/// In one line, without what a terminal would act upon.
fn one_line(lines: &[String]) -> String {
    let shown = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    let text: String = shown.collect::<Vec<_>>().join(" | ").chars().filter(|c| !c.is_control()).collect();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The first panic with the first lines of its goroutine.
pub fn panic(log: &str) -> Option<String> {
    let texts = texts(log);
    let begins = |text: &String| {
        let text = text.trim_start();
        text.starts_with("panic: ")
            || text.starts_with("fatal error: ")
            || text.contains("panic serving")
            || text.contains("Observed a panic")
            || (text.starts_with("thread '") && text.contains("' panicked at"))
    };
    let at = texts.iter().position(begins)?;
    let rest = &texts[at..];
    // Another message of the log is no part of it.
    let end = rest.iter().skip(1).position(begins).map_or(rest.len(), |next| next + 1);
    Some(one_line(&rest[..end.min(PANIC_LINES)]))
}

/// What the API server refused the webhook, each once, as the API server said it.
pub fn refused_calls(log: &str) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts(log) {
        let Some(at) = text.find(" is forbidden: ") else { continue };
        let start = text[..at].rfind(' ').map_or(0, |before| before + 1);
        let refusal = one_line(&[text[start..].to_owned()]);
        if !found.contains(&refusal) {
            found.push(refusal);
        }
    }
    found
}

/// The last lines.
pub fn last_lines(log: &str, count: usize) -> String {
    let texts = texts(log);
    one_line(&texts[texts.len().saturating_sub(count)..])
}

/// Whether it holds a text anywhere: as it stands, or in the message of an entry.
pub fn says(log: &str, wanted: &str) -> bool {
    log.contains(wanted) || texts(log).iter().any(|text| text.contains(wanted))
}

/// What went wrong, in a phrase: a panic before refusals; `None` where it tells of neither.
pub fn finding(log: &str) -> Option<String> {
    if let Some(panic) = panic(log) {
        return Some(format!("the webhook panicked: {panic}"));
    }
    let refused = refused_calls(log);
    let shown: Vec<&str> = refused.iter().take(3).map(String::as_str).collect();
    (!shown.is_empty()).then(|| format!("the API server refused a request of the webhook: {}", shown.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_the_first_lines_of_its_goroutine_wherever_it_stands_in_the_log() {
        let frames: Vec<String> = (0..40).map(|n| format!("main.frame{n}(...)")).collect();
        let log = format!(
            "{{\"level\":\"info\",\"message\":\"starting manager\"}}\npanic: unable to set up pod mutator: AZURE_TENANT_ID is empty\n\n\
             goroutine 52 [running]:\n{}\nexit\n",
            frames.join("\n")
        );
        let told = panic(&log).unwrap();
        assert!(
            told.starts_with(
                "panic: unable to set up pod mutator: AZURE_TENANT_ID is empty | goroutine 52 [running]: | main.frame0"
            ),
            "{told}"
        );
        assert!(!told.contains("frame20") && !told.contains('\n'));
        assert!(says(&log, "AZURE_TENANT_ID is empty"));
    }

    #[test]
    fn a_panic_inside_the_message_of_an_entry_is_found_too() {
        let log = r#"{"level":"info","logger":"stdlib","message":"http: panic serving 10.0.0.1:5: assignment to entry in nil map\ngoroutine 9 [running]:\nnet/http.(*conn).serve.func1()"}"#;
        let told = finding(log).unwrap();
        assert!(told.contains("assignment to entry in nil map | goroutine 9 [running]: | net/http"), "{told}");
    }

    #[test]
    fn a_missing_right_is_told_once_as_the_api_server_said_it() {
        let line = r#"{"level":"error","message":"failed to list *v1.ServiceAccount: serviceaccounts is forbidden: User \"system:serviceaccount:a:b\" cannot list resource \"serviceaccounts\" in API group \"\" at the cluster scope"}"#;
        let expected = r#"serviceaccounts is forbidden: User "system:serviceaccount:a:b" cannot list resource "serviceaccounts" in API group "" at the cluster scope"#;
        assert_eq!(refused_calls(&format!("{line}\n{line}\n")), [expected]);
        assert_eq!(finding("{\"message\":\"well\"}\n"), None);
    }

    #[test]
    fn what_is_told_is_bounded_and_holds_nothing_that_a_terminal_acts_upon() {
        let told = last_lines(&format!("\u{1b}[31m{}\nlast", "x".repeat(5000)), 2);
        assert!(told.chars().count() <= LONGEST + 1 && !told.contains('\u{1b}'));
    }
}
