//! Metrics as text: Prometheus's own format 0.0.4, and OpenMetrics 1.0 for who asks for it.
//!
//! The two differ little, and enough to be refused by the other's parsers: OpenMetrics names a counter
//! without `_total` where it is described, and ends with a line that says so.

use std::fmt::Write;

use super::latency::{BOUNDS, Measured};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// One metric with all its samples.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

/// The labels of a sample.
pub type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum Samples {
    Counters(Vec<(Labels, f64)>),
    Gauges(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Measured)>),
}

impl Format {
    /// What an `Accept` field asks for: OpenMetrics only if it is named and not weighed less than text.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
        let weight_of = |range: &str| {
            let ranges = accept.split(',').map(|part| part.split(';').map(str::trim));
            let weights = ranges.filter_map(|mut parts| {
                let is_it = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(range));
                let mut weight = || parts.find_map(|part| part.strip_prefix("q="));
                is_it.then(|| weight().map_or(1.0, |q| q.parse::<f64>().unwrap_or(0.0)))
            });
            weights.fold(0.0, f64::max)
        };
        let open = weight_of("application/openmetrics-text");
        match 0.0 < open && weight_of("text/plain") <= open {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// The media type of the text.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes metrics.
    #[must_use]
    pub fn write(self, families: &[Family]) -> String {
        let mut out = String::with_capacity(256 * families.len());
        families.iter().for_each(|family| self.write_family(&mut out, family));
        if self == Self::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    fn write_family(self, out: &mut String, Family { name, help, samples }: &Family) {
        let (kind, suffix) = match samples {
            Samples::Counters(_) => ("counter", "_total"),
            Samples::Gauges(_) => ("gauge", ""),
            Samples::Histograms(_) => ("histogram", ""),
        };
        let described = if self == Self::Text { suffix } else { "" };
        line(out, format_args!("# HELP {name}{described} {help}"));
        line(out, format_args!("# TYPE {name}{described} {kind}"));
        match samples {
            Samples::Counters(samples) | Samples::Gauges(samples) => {
                for (labels, value) in samples {
                    line(out, format_args!("{name}{suffix}{} {value}", shown(labels, None)));
                }
            }
            Samples::Histograms(samples) => {
                for (labels, measured) in samples {
                    write_histogram(out, name, labels, measured);
                }
            }
        }
    }
}

impl Family {
    /// A number that only grows.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, samples: Vec<(Labels, f64)>) -> Self {
        Self { name, help, samples: Samples::Counters(samples) }
    }

    /// A number that goes up and down.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, samples: Vec<(Labels, f64)>) -> Self {
        Self { name, help, samples: Samples::Gauges(samples) }
    }

    /// Times, in seconds.
    #[must_use]
    pub fn histogram(
        name: &'static str,
        help: &'static str,
        samples: Vec<(Labels, Measured)>,
    ) -> Self {
        Self { name, help, samples: Samples::Histograms(samples) }
    }
}

fn write_histogram(out: &mut String, name: &str, labels: &Labels, measured: &Measured) {
    let bounds = BOUNDS.iter().map(|bound| with_point(bound.as_secs_f64()));
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(measured.cumulative()) {
        line(out, format_args!("{name}_bucket{} {count}", shown(labels, Some(&bound))));
    }
    let (labels, sum) = (shown(labels, None), measured.sum().as_secs_f64());
    line(out, format_args!("{name}_sum{labels} {sum}"));
    line(out, format_args!("{name}_count{labels} {}", measured.count()));
}

/// A bound as OpenMetrics has it: with a point, also where it is whole.
fn with_point(bound: f64) -> String {
    let text = bound.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes what it is given.
    let _ = writeln!(out, "{text}");
}

/// Labels as they stand behind a name.
fn shown(labels: &Labels, bound: Option<&str>) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    let all: Vec<_> = labels.chain(bound.map(|bound| format!("le=\"{bound}\""))).collect();
    match all.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", all.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Latency;

    fn families() -> Vec<Family> {
        let latency = Latency::default();
        latency.count(Duration::from_micros(60));
        let mut measured = Measured::default();
        measured.add(&latency);
        vec![
            Family::counter("a_hits", "Hits", vec![(vec![], 3.0)]),
            Family::gauge("a_size_bytes", "Size", vec![(vec![("of", "x\"\\\n".into())], 1.5)]),
            Family::histogram("a_seconds", "Time", vec![(vec![("verb", "get".into())], measured)]),
        ]
    }

    #[test]
    fn prometheus_text_describes_a_counter_under_its_whole_name() {
        let text = Format::Text.write(&families());
        let begin = "# HELP a_hits_total Hits\n# TYPE a_hits_total counter\na_hits_total 3\n";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.contains("a_size_bytes{of=\"x\\\"\\\\\\n\"} 1.5\n"), "{text}");
        assert!(!text.contains("# EOF"), "{text}");
    }

    #[test]
    fn open_metrics_describes_it_without_total_and_ends() {
        let text = Format::OpenMetrics.write(&families());
        assert!(text.contains("# TYPE a_hits counter\na_hits_total 3\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn buckets_are_cumulative_and_the_last_is_without_a_bound() {
        let text = Format::Text.write(&families());
        for line in [
            "a_seconds_bucket{verb=\"get\",le=\"0.00005\"} 0\n",
            "a_seconds_bucket{verb=\"get\",le=\"0.0001\"} 1\n",
            "a_seconds_bucket{verb=\"get\",le=\"1.0\"} 1\n",
            "a_seconds_bucket{verb=\"get\",le=\"+Inf\"} 1\n",
            "a_seconds_sum{verb=\"get\"} 0.00006\n",
            "a_seconds_count{verb=\"get\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} {text}");
        }
    }

    #[test]
    fn open_metrics_is_for_who_asks_for_it() {
        for accept in ["", "*/*", "text/plain", "text/html", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::of_accept(accept), Format::Text, "{accept}");
        }
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;\
                          version=0.0.4;q=0.5,*/*;q=0.2";
        for accept in ["application/openmetrics-text", "Application/OpenMetrics-Text", prometheus] {
            assert_eq!(Format::of_accept(accept), Format::OpenMetrics, "{accept}");
        }
        let text_first = "application/openmetrics-text;q=0.5, text/plain;q=0.9";
        assert_eq!(Format::of_accept(text_first), Format::Text);
    }
}
