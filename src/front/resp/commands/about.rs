//! What clients are told of the commands there are: all of it comes from their rows.

use super::super::codec::{Output, Request};
use super::super::failure::Failure;
use super::super::session::Session;
use super::{Group, ROWS, Row, find};

pub(super) fn command(
    _session: &mut Session,
    request: Request<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let Some(word) = request.get(1) else {
        out.array(ROWS.len());
        ROWS.iter().for_each(|row| tell(row, out));
        return Ok(());
    };
    match &word.to_ascii_lowercase()[..] {
        b"count" if request.len() == 2 => out.count(ROWS.len() as u64),
        b"list" if request.len() == 2 => {
            out.array(ROWS.len());
            ROWS.iter().for_each(|row| out.bulk(row.name));
        }
        b"info" if request.len() == 2 => {
            out.array(ROWS.len());
            ROWS.iter().for_each(|row| tell(row, out));
        }
        b"info" => {
            out.array(request.len() - 2);
            for name in request.from(2) {
                match find(name) {
                    Some(row) => tell(row, out),
                    None => out.null_array(),
                }
            }
        }
        b"docs" => {
            let named: Vec<_> = match request.len() {
                2 => ROWS.iter().collect(),
                _ => request.from(2).filter_map(find).collect(),
            };
            out.map(named.len());
            named.into_iter().for_each(|row| document(row, out));
        }
        b"getkeys" if 4 <= request.len() => return tell_keys(request, out),
        b"count" => return Err(Failure::arity("command|count")),
        b"list" => return Err(Failure::SYNTAX),
        b"getkeys" => return Err(Failure::arity("command|getkeys")),
        _ => return Err(Failure::subcommand("command", word)),
    }
    Ok(())
}

/// A command as `COMMAND INFO` tells it.
fn tell(row: &Row, out: &mut Output) {
    out.array(10);
    out.bulk(row.name);
    out.integer(row.arity.into());
    out.set(row.flags.len());
    row.flags.iter().for_each(|flag| out.simple(flag));
    out.integer(row.keys.first as i64);
    out.integer(row.keys.last.into());
    out.integer(if row.keys.first == 0 { 0 } else { row.keys.step as i64 });
    let categories = categories(row);
    out.set(categories.len());
    categories.iter().for_each(|category| out.simple(category));
    // Hints, specifications of keys, and commands behind this one: none are needed to use these.
    (0..3).for_each(|_| out.array(0));
}

fn categories(row: &Row) -> Vec<&'static str> {
    let mut categories = vec![match row.group {
        Group::Cluster | Group::Server => "@admin",
        Group::Connection => "@connection",
        Group::Generic => "@keyspace",
        Group::PubSub => "@pubsub",
        Group::String => "@string",
        Group::Transactions => "@transaction",
    }];
    let has = |flag| row.flags.contains(&flag);
    categories.extend(has("readonly").then_some("@read"));
    categories.extend(has("write").then_some("@write"));
    categories.push(if has("fast") { "@fast" } else { "@slow" });
    categories
}

fn document(row: &Row, out: &mut Output) {
    out.bulk(row.name);
    out.map(3);
    let group = match row.group {
        Group::Cluster => "cluster",
        Group::Connection => "connection",
        Group::Generic => "generic",
        Group::Server => "server",
        Group::PubSub => "pubsub",
        Group::String => "string",
        Group::Transactions => "transactions",
    };
    for (name, value) in [("summary", row.summary), ("since", row.since), ("group", group)] {
        out.bulk(name);
        out.bulk(value);
    }
}

fn tell_keys(request: Request<'_>, out: &mut Output) -> Result<(), Failure> {
    let arguments = request.len() - 2;
    let row = find(request.arg(2)).ok_or(Failure::fixed("ERR Invalid command specified"))?;
    if !row.takes(arguments) {
        return Err(Failure::fixed("ERR Invalid number of arguments specified for command"));
    }
    if row.keys.first == 0 {
        return Err(Failure::fixed("ERR The command has no key arguments"));
    }
    let places: Vec<_> = row.key_places(arguments).collect();
    out.array(places.len());
    places.into_iter().for_each(|at| out.bulk(request.arg(at + 2)));
    Ok(())
}
