//! A file of all settings with what they mean, as `smache config --example` prints it.

use std::fmt::Write;

use clap::Args;

use super::Flags;
use super::settings::defaults;

/// Columns of a comment.
const WIDTH: usize = 96;

const BEGIN: &str = "\
# Settings of smache, for `smache serve --config FILE`. Each line that is commented out says what holds
# without it. A flag or a variable of the environment is before what stands here.
";

/// Every setting: what it means, what is allowed, and, commented out, its default.
///
/// Both come from where they are used, so that none is forgotten: the help of the flag and the table of
/// settings.
#[must_use]
pub fn example() -> String {
    let flags = Flags::augment_args(clap::Command::new("smache"));
    let help = |name: &str| {
        let flag = flags.get_arguments().find(|flag| flag.get_long() == Some(name));
        flag.and_then(clap::Arg::get_help).map(ToString::to_string).unwrap_or_default()
    };
    let mut out = BEGIN.to_owned();
    for (name, default) in defaults() {
        out.push('\n');
        wrapped(&help(name)).iter().for_each(|line| add(&mut out, format_args!("# {line}")));
        add(&mut out, format_args!("#{name} = {}", literal(default)));
    }
    out
}

fn add(out: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes what it is given.
    let _ = writeln!(out, "{line}");
}

/// A value as TOML has it: numbers and switches without quotes.
fn literal(value: &str) -> String {
    let is_bare = value.parse::<u32>().is_ok() || value.parse::<bool>().is_ok();
    // Nothing in a default is written in another way in TOML than in Rust.
    if is_bare { value.to_owned() } else { format!("{value:?}") }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut().filter(|line| line.len() + 1 + word.len() <= WIDTH) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_comment_that_says_more_than_its_name() {
        let text = example();
        for (name, _) in defaults() {
            let at = text.find(&format!("\n#{name} = ")).unwrap_or_else(|| panic!("{name}"));
            let comment = text[..at].rsplit("\n\n").next().unwrap();
            assert!(comment.starts_with("# ") && 20 < comment.len(), "{name}: {comment}");
        }
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
    }

    #[test]
    fn a_value_is_as_toml_has_it() {
        let all = [("4", "4"), ("true", "true"), ("off", "\"off\""), ("", "\"\"")];
        for (value, shown) in all {
            assert_eq!(literal(value), shown);
        }
    }
}
