//! How times and sizes are written, wherever somebody writes one: flags, files, queries.
//!
//! There is one grammar for each, so that what is right in one place is right in all.

use std::time::Duration;

use bytesize::ByteSize;

/// What a time may be, for messages.
pub const TIME_ALLOWED: &str = "1500ms, 30s, 5m, 2h, 1d or seconds";

/// What a size may be, for messages.
pub const SIZE_ALLOWED: &str = "64KiB, 16MiB, 1.5GiB or bytes";

/// A number with a unit: `ms`, `s`, `m`, `h` or `d`; without one it is seconds. `None` for anything else.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// The shortest text that [`time()`] reads as this, to the millisecond.
#[must_use]
pub fn of_time(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let unit = units.into_iter().find(|(_, ms)| 0 < millis && millis.is_multiple_of(*ms));
    unit.map_or_else(|| format!("{millis}ms"), |(unit, ms)| format!("{}{unit}", millis / ms))
}

/// A number of bytes, with a unit (`KiB`, `MiB`, `GiB`, `TiB`, and `KB` and so on for powers of ten) or
/// without one. `None` for anything else.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    text.parse::<ByteSize>().ok().filter(|_| is_plain).map(|size| size.0)
}

/// The shortest text that [`size()`] reads as this.
#[must_use]
pub fn of_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, log2)| 0 < bytes && bytes.is_multiple_of(1 << log2));
    unit.map_or_else(|| bytes.to_string(), |(unit, log2)| format!("{}{unit}", bytes >> log2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_number_and_one_unit() {
        for (text, ms) in [
            ("0", 0),
            ("30", 30_000),
            ("1500ms", 1_500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(time(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1.5s", "-1s", "1 s", "1min", "1m30s", "1S", "18446744073709551615d"]
        {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["0ms", "1500ms", "30s", "5m", "2h", "3650d"] {
            assert_eq!(of_time(time(text).unwrap()), text);
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_unit() {
        for (text, bytes) in [
            ("1", 1),
            ("64KiB", 64 << 10),
            ("1.5MiB", 3 << 19),
            ("1MB", 1_000_000),
            ("2g", 2_000_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "lots", "-1", "1 MiB", "60%", "1MiBs"] {
            assert_eq!(size(text), None, "{text}");
        }
        for text in ["0", "1000", "64KiB", "1536KiB", "3GiB", "1025GiB"] {
            assert_eq!(of_size(size(text).unwrap()), text);
        }
    }
}
