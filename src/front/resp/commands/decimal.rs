//! Numbers with a fraction, as `INCRBYFLOAT` adds them: exactly where they are decimal and not too long,
//! so that 0.1 and 0.2 are 0.3, and as floats where they are not.

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// So many parts, of which ten to the power of the second are one.
    Exact(i128, u32),
    /// Any other.
    Float(f64),
}

/// Digits of a number that is added exactly: sums of any two of them fit into 128 bits.
const DIGITS_MAX: usize = 17;

impl Number {
    /// The number in a text; `None` if it is none, or not finite.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        // What floats are read from has names, too.
        let is_numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        if !text.bytes().all(is_numeric) {
            return None;
        }
        Self::exact(text).or_else(|| {
            let float: f64 = text.parse().ok()?;
            float.is_finite().then_some(Self::Float(float))
        })
    }

    fn exact(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        if DIGITS_MAX < whole.len().max(fraction.len()) {
            return None;
        }
        let parts: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = u32::try_from(fraction.len()).ok()?;
        Some(Self::Exact(if is_negative { -parts } else { parts }, scale))
    }

    /// The sum, as it is written; `None` if it is not finite.
    pub(super) fn plus(self, other: Self) -> Option<String> {
        match (self, other) {
            (Self::Exact(a, a_scale), Self::Exact(b, b_scale)) => {
                let scale = a_scale.max(b_scale);
                let sum = a * 10_i128.pow(scale - a_scale) + b * 10_i128.pow(scale - b_scale);
                Some(written(sum, scale))
            }
            (a, b) => {
                let sum = a.float() + b.float();
                // Nothing is less than nothing.
                let sum = if sum == 0.0 { 0.0 } else { sum };
                sum.is_finite().then(|| sum.to_string())
            }
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Exact(parts, scale) => parts as f64 / 10_f64.powi(scale.cast_signed()),
            Self::Float(float) => float,
        }
    }
}

fn written(parts: i128, scale: u32) -> String {
    let one = 10_u128.pow(scale);
    let (whole, fraction) = (parts.unsigned_abs() / one, parts.unsigned_abs() % one);
    let sign = if parts < 0 { "-" } else { "" };
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:0width$}", width = scale as usize);
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers_are_added_exactly() {
        for (a, b, sum) in [
            ("0.1", "0.2", Some("0.3")),
            ("10.50", "0.1", Some("10.6")),
            ("5.0e3", "2.0e2", Some("5200")),
            ("1", "-1", Some("0")),
            ("-0.5", "0.25", Some("-0.25")),
            ("3", "-5.001", Some("-2.001")),
            ("1.05", "-0.05", Some("1")),
            ("1e308", "1.7e308", None),
        ] {
            let read = |text: &str| Number::read(text.as_bytes()).unwrap();
            assert_eq!(read(a).plus(read(b)).as_deref(), sum, "{a} {b}");
        }
        for wrong in ["", "x", "inf", "nan", "1 ", " 1", "1.2.3", "1e999", "0x10", "-", "."] {
            assert_eq!(Number::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
