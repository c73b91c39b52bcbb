//! Figures as people read them.

use std::time::Duration;

use bytesize::ByteSize;

/// Digits of `count` in groups of three.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if 0 < position && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `part` of `whole`, or a dash where there is no whole.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        // The loss of precision is far below the digit shown.
        _ => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    }
}

/// `bytes` in the unit that suits.
pub(super) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).to_string()
}

/// A length of time in its two largest units, such as `1h 2m`.
pub(super) fn span(millis: u64) -> String {
    let text = humantime::format_duration(Duration::from_millis(millis)).to_string();
    let units: Vec<&str> = text.split(' ').take(2).collect();
    units.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        assert_eq!([0, 1_234, 3_723_004].map(span), ["0s", "1s 234ms", "1h 2m"]);
    }
}
