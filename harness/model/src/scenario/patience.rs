//! A duration as a scenario writes it.

use schemars::JsonSchema;
use serde::Deserialize;

/// A duration such as `500ms`, `10s`, `2m`, `1h` or `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(
    with = "String",
    extend("pattern" = "^0*[1-9][0-9]*(ms|s|m|h|d)$", "patternErrorMessage" = "a duration is a number and ms, s, m, h or d, such as `10s`")
)]
pub struct Patience(pub std::time::Duration);

impl<'de> Deserialize<'de> for Patience {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_patience(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is not a duration; write a number and ms, s, m, h or d, such as `10s`"
            ))
        })
    }
}

impl serde::Serialize for Patience {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_millis() {
            millis if millis % 1000 == 0 => serializer.collect_str(&format_args!("{}s", millis / 1000)),
            millis => serializer.collect_str(&format_args!("{millis}ms")),
        }
    }
}

fn parse_patience(text: &str) -> Option<Patience> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let millis = match &text[split..] {
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        "d" => number.checked_mul(86_400_000)?,
        _ => return None,
    };
    (millis > 0).then_some(Patience(std::time::Duration::from_millis(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let millis = |text| parse_patience(text).map(|p| p.0.as_millis());
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("10s"), Some(10_000));
        assert_eq!(millis("2m"), Some(120_000));
        assert_eq!(millis("1h"), Some(3_600_000));
        assert_eq!(millis("2d"), Some(172_800_000));
        for wrong in ["", "10", "s", "0s", "-1s", "1w", "1.5s", "99999999999999999999s"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
