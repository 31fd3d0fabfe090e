//! Quantities: `1.0` and `1000m` are the same amount, in whatever form a program writes it back.

use serde_json::Value;

/// Whether two values are the same amount.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    matches!((amount(a), amount(b)), (Some(a), Some(b)) if a == b)
}

/// An amount in thousand-millionths; `None` where it is none.
fn amount(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits: i128 = format!("{}{fraction}", whole.trim_start_matches(['+', '-'])).parse().ok()?;
    let mut amount = digits.checked_mul(1_000_000_000)?;
    amount /= 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let amount = match suffix {
        "" => amount,
        "n" => amount / 1_000_000_000,
        "u" => amount / 1_000_000,
        "m" => amount / 1_000,
        "k" => amount.checked_mul(1_000)?,
        "M" => amount.checked_mul(1_000_000)?,
        "G" => amount.checked_mul(1_000_000_000)?,
        "T" => amount.checked_mul(1_000_000_000_000)?,
        "P" => amount.checked_mul(1_000_000_000_000_000)?,
        "Ki" => amount.checked_mul(1 << 10)?,
        "Mi" => amount.checked_mul(1 << 20)?,
        "Gi" => amount.checked_mul(1 << 30)?,
        "Ti" => amount.checked_mul(1 << 40)?,
        "Pi" => amount.checked_mul(1 << 50)?,
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let factor = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { amount / factor } else { amount.checked_mul(factor)? }
        }
    };
    Some(if negative { -amount } else { amount })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_amount_in_another_form_is_the_same() {
        for (a, b) in [("1.0", "1"), ("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1e3", "1k")] {
            assert!(same(&json!(a), &json!(b)), "{a} {b}");
        }
        assert!(same(&json!(1), &json!("1")) && !same(&json!("1"), &json!("2")) && !same(&json!("x"), &json!("y")));
    }
}
