//! Decimal integers as the webhook's language reads them: what it says of a wrong one reaches the user.

/// Reads a signed decimal of at most `bits` bits.
///
/// # Errors
/// What is said of a text that is none.
pub(super) fn parse(text: &str, bits: u32) -> Result<i64, String> {
    let said = |why: &str| format!("strconv.ParseInt: parsing {text:?}: {why}");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return Err(said("invalid syntax"));
    }
    let mut value: i128 = 0;
    for c in digits.chars() {
        let digit = c.to_digit(10).ok_or_else(|| said("invalid syntax"))?;
        value = value * 10 + i128::from(digit);
        // It stops at the first digit too many, whatever follows.
        if value >= 1 << bits {
            return Err(said("value out of range"));
        }
    }
    let value = if negative { -value } else { value };
    let bound = 1_i128 << (bits - 1);
    if value < -bound || value >= bound {
        return Err(said("value out of range"));
    }
    i64::try_from(value).map_err(|_| said("value out of range"))
}
