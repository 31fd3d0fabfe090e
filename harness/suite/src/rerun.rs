//! The command that runs a case again as it ran: with the flags that select the place and the scenarios.

/// Flags with a value that say where and what is run; the others say how much, how fast and where reports go.
const VALUES: [&str; 15] = [
    "--scenarios",
    "--target",
    "--webhook",
    "--profile",
    "--cert-rotation",
    "--image",
    "--name",
    "--node-image",
    "--kind-config",
    "--image-program",
    "--load",
    "--context",
    "--webhook-replicas",
    "--state-dir",
    "--vary",
];
/// Flags of that kind without a value.
const SWITCHES: [&str; 2] = ["--reuse", "--yes"];

/// The beginning of a command that runs what these words ran, for one case to be named after it.
pub fn base(words: impl IntoIterator<Item = String>) -> String {
    let mut base = "wi-conformance run".to_owned();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if SWITCHES.contains(&flag) {
            base.push_str(&format!(" {flag}"));
        } else if VALUES.contains(&flag)
            && let Some(value) = value.or_else(|| words.next())
        {
            base.push_str(&format!(" {flag} {}", quoted(&value)));
        }
    }
    base
}

/// A word as a shell takes it for one.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_select_stay_and_others_go() {
        let words =
            "run exchange/ --scenarios=../my suite --target kind --jobs 3 --out x --reuse --webhook exec:./m --plain";
        let words = words.replace("my suite", "my+suite");
        let told = base(words.split(' ').map(|word| word.replace('+', " ")));
        assert_eq!(told, "wi-conformance run --scenarios '../my suite' --target kind --reuse --webhook exec:./m");
    }
}
