//! Keys in pages: `GET /v1/{namespace}`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http::Client;
use crate::process::Node;

/// All keys of a list, page by page, and how many pages those were.
fn walk(client: &mut Client, target: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut keys, mut pages, mut cursor) = (vec![], 0, String::new());
    loop {
        let answer = client.request("GET", &format!("{target}limit={limit}{cursor}"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let found = page["keys"].as_array().unwrap();
        assert!(found.len() <= limit, "{page}");
        keys.extend(found.iter().map(|key| key.as_str().unwrap().to_owned()));
        pages += 1;
        match page["cursor"].as_str() {
            Some(text) => cursor = format!("&cursor={text}"),
            None => return (keys, pages),
        }
    }
}

fn put_all(client: &mut Client, namespace: &str, keys: impl Iterator<Item = String>) {
    let puts: Vec<_> = keys.map(|key| json!({"op": "put", "key": key, "value": 1})).collect();
    let answer = client.request("POST", &format!("/v1/{namespace}"), &json!(puts).to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn every_key_is_in_one_page_of_its_namespace_whatever_the_limit() {
    let node = Node::start(&["--shards", "3"]);
    let mut client = node.client();
    put_all(&mut client, "a", (0..3_000).map(|n| format!("user/{n}")));
    put_all(&mut client, "a", (0..500).map(|n| format!("é \"{n}\"")));
    put_all(&mut client, "b", (0..500).map(|n| format!("user/{n}")));
    client.request("DELETE", "/v1/a/user/7", "");
    client.request("PUT", "/v1/a/user/8?ttl=1ms", "x");
    while client.request("GET", "/v1/a/user/8", "").status != 404 {}
    let users: BTreeSet<String> =
        (0..3_000).filter(|n| *n != 7 && *n != 8).map(|n| format!("user/{n}")).collect();
    for limit in [70, 1_000, 10_000] {
        let (keys, pages) = walk(&mut client, "/v1/a?prefix=user/&", limit);
        assert_eq!(keys.len(), users.len(), "limit {limit}");
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), users, "limit {limit}");
        assert!(users.len().div_ceil(limit) <= pages, "{pages} pages of {limit}");
    }
    assert_eq!(walk(&mut client, "/v1/a?", 100).0.len(), users.len() + 500);
    assert_eq!(walk(&mut client, "/v1/a?prefix=%C3%A9&", 100).0.len(), 500);
    assert_eq!(walk(&mut client, "/v1/none?", 100), (vec![], 1));
    for (target, count) in
        [("a?count", 3_498), ("a?count&prefix=user/1", 1_111), ("b?count", 500), ("c?count", 0)]
    {
        let answer = client.request("GET", &format!("/v1/{target}"), "").json();
        assert_eq!(answer, json!({ "count": count }), "{target}");
    }
}

#[test]
fn keys_that_are_there_throughout_are_found_while_others_come_and_go() {
    let node = Node::start(&["--demo"]);
    let mut client = node.client();
    put_all(&mut client, "a", (0..600).map(|n| format!("stays-{n}")));
    let (mut found, mut cursor, mut round) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = client.request("GET", &format!("/v1/a?limit=30{cursor}"), "").json();
        found.extend(page["keys"].as_array().unwrap().iter().map(Value::to_string));
        let Some(text) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={text}");
        // The index grows, and what is there is written again.
        put_all(&mut client, "a", (0..100).map(|n| format!("comes-{round}-{n}")));
        put_all(&mut client, "a", (0..50).map(|n| format!("stays-{}", (round * 37 + n) % 600)));
        // No more often than the restart budget bears.
        if round % 8 == 0 && round < 80 {
            let crashed = client.request("POST", "/supervision/shard-0/crash", "");
            assert_eq!(crashed.status, 202, "{crashed:?}");
        }
        round += 1;
    }
    let missed = (0..600).filter(|n| !found.contains(&format!("\"stays-{n}\"")));
    assert_eq!(missed.collect::<Vec<_>>(), Vec::<i32>::new());
}

#[test]
fn wrong_lists_are_told_what_is_wrong() {
    let node = Node::start(&[]);
    let mut client = node.client();
    put_all(&mut client, "a", (0..10).map(|n| n.to_string()));
    client.request("PUT", "/v1/a/%ff", "x");
    let cursor = client.request("GET", "/v1/a?limit=1", "").json()["cursor"].to_string();
    let cursor = cursor.trim_matches('"');
    for (target, message) in [
        ("/v1/a?limit=0".to_owned(), "limit is 0; allowed: 1 to 10000"),
        ("/v1/a?limit=10001".to_owned(), "limit is 10001; allowed: 1 to 10000"),
        ("/v1/a?limit=x".to_owned(), "limit is x"),
        ("/v1/a?cursor=x".to_owned(), "cursor is none of this list"),
        ("/v1/a?cursor=".to_owned(), "cursor is none of this list"),
        (format!("/v1/b?cursor={cursor}"), "cursor is none of this list"),
        (format!("/v1/a?prefix=x&cursor={cursor}"), "cursor is none of this list"),
        ("/v1/a?perfix=x".to_owned(), "parameter perfix is unknown; allowed: prefix, limit"),
        ("/v1/a?count&limit=5".to_owned(), "parameter limit is unknown; allowed: prefix, count"),
    ] {
        let answer = client.request("GET", &target, "");
        assert_eq!(answer.status, 400, "{target}: {answer:?}");
        assert!(answer.message().starts_with(message), "{target}: {answer:?}");
    }
    let page = client.request("GET", "/v1/a", "").json();
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["base64"]), (10, &json!(["/w=="])));
    let method = client.request("PATCH", "/v1/a", "");
    assert_eq!(
        (method.status, method.header("allow")),
        (405, Some("GET, HEAD, PUT, POST, DELETE"))
    );
}
