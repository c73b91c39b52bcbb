//! Messages as bytes: what is written is read, and nothing else.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use smache::command::{
    Append, Changed, Command, Condition, Delete, Demand, End, EndIs, Find, Get, Gives, Increment,
    ListKeys, NextId, Page, Patch, PatchForm, Put, Reply, Stored, Swap, Take, Touch, Unfit,
    Versions, Wants,
};
use smache::entry::{Entry, Key, MediaType, Millis, Namespace, Tags, Version};
use smache::error::Error;
use smache::limits::{PEER_BATCH_COMMANDS_MAX, PEER_FRAME_BYTES_MAX, VERSION_MILLIS_MAX};
use smache::member::{Boot, NodeId, NodeName, Standing};
use smache::partition::{SLOTS, Slot, SlotSet};
use smache::peer::codec::{
    CodecError, decode_request, decode_response, encode_request, encode_response,
};
use smache::peer::message::{
    Agreement, Claim, Claimed, MemberRecord, Ping, PushOutcome, Refusal, Request, Reserve,
    Reserved, Response, ViewRecord,
};
use smache::record::{NewEntry, Record};
use smache::registry::Item;

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Key> {
    (option::of("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,63}"), vec(any::<u8>(), 1..100)).prop_map(
        |(namespace, bytes)| {
            let namespace =
                namespace.map_or(Namespace::default(), |name| Namespace::new(&name).unwrap());
            Key::in_namespace(namespace, bytes).unwrap()
        },
    )
}

fn media() -> impl Strategy<Value = MediaType> {
    prop_oneof![
        Just(MediaType::Bytes),
        Just(MediaType::Json),
        Just(MediaType::Text),
        vec(any::<u8>(), 1..=255).prop_map(|name| MediaType::Other(name.into())),
    ]
}

/// The one deadline that is the same at both ends: any other is what is left of it on the wire.
const END: Millis = Millis(u64::MAX);

fn deadline() -> impl Strategy<Value = Option<Millis>> {
    option::of(Just(END))
}

fn version() -> impl Strategy<Value = Version> {
    (0..=VERSION_MILLIS_MAX << 16).prop_map(Version)
}

fn entry() -> impl Strategy<Value = Entry> {
    let tags = vec(vec(any::<u8>(), 1..=255), 0..4)
        .prop_map(|tags| Tags::new(tags.iter().map(Vec::as_slice)).unwrap());
    (bytes(200), media(), version(), deadline(), tags).prop_map(
        |(value, media, version, expires_at, tags)| Entry {
            value,
            media,
            version,
            expires_at,
            tags,
        },
    )
}

fn put() -> impl Strategy<Value = Put> {
    (key(), bytes(200), media(), deadline(), condition()).prop_map(
        |(key, value, media, expires_at, condition)| Put {
            key,
            value,
            media,
            expires_at,
            condition,
        },
    )
}

fn versions() -> impl Strategy<Value = Versions> {
    vec(version(), 0..5).prop_map(|versions| Versions::new(versions).unwrap())
}

fn condition() -> impl Strategy<Value = Condition> {
    let first = prop_oneof![
        Just(Demand::Nothing),
        versions().prop_map(Demand::OneOf),
        any::<u64>().prop_map(Demand::NotAfter),
    ];
    let second = prop_oneof![
        Just(Demand::Nothing),
        Just(Demand::Absent),
        versions().prop_map(Demand::NoneOf),
    ];
    (first, second).prop_map(|(first, second)| Condition::both(first, second))
}

fn gives() -> impl Strategy<Value = Gives> {
    prop_oneof![Just(Gives::Nothing), Just(Gives::Entry)]
}

fn increment() -> impl Strategy<Value = Command> {
    (key(), any::<[i64; 4]>(), deadline(), condition()).prop_map(
        |(key, [by, initial, min, max], expires_at, condition)| {
            Increment { key, by, initial, min, max, expires_at, condition }.into()
        },
    )
}

fn append() -> impl Strategy<Value = Command> {
    let sizes = (option::of(any::<u64>()), any::<u64>());
    (put(), sizes, condition()).prop_map(|(put, (at, bytes_max), condition)| {
        let Put { key, value, media, expires_at, .. } = put;
        Append { key, value, at, media, expires_at, bytes_max, condition }.into()
    })
}

fn touch() -> impl Strategy<Value = Command> {
    let only = prop_oneof![Just(EndIs::Any), Just(EndIs::Later)];
    (key(), deadline(), only, condition(), gives()).prop_map(
        |(key, expires_at, only, condition, gives)| {
            Touch { key, expires_at, only, condition, gives }.into()
        },
    )
}

fn patch() -> impl Strategy<Value = Command> {
    let form = prop_oneof![Just(PatchForm::Merge), Just(PatchForm::Operations)];
    (key(), bytes(100), form, any::<u64>(), condition()).prop_map(
        |(key, patch, form, bytes_max, condition)| {
            Patch { key, patch, form, bytes_max, condition }.into()
        },
    )
}

fn swap() -> impl Strategy<Value = Command> {
    let end = prop_oneof![Just(End::Kept), deadline().prop_map(End::At)];
    (put(), end, condition(), gives()).prop_map(|(put, end, condition, gives)| {
        let Put { key, value, media, .. } = put;
        Swap { key, value, media, end, condition, gives }.into()
    })
}

fn list_keys() -> impl Strategy<Value = Command> {
    let pass = (any::<(u64, u32, u32)>(), slots());
    (key(), bytes(20), pass).prop_map(|(key, prefix, ((pass, from, keys_max), seen))| {
        let (slot, namespace, wants) = (key.slot(), key.namespace().clone(), Wants::Count);
        ListKeys { slot, namespace, prefix, seen, pass, from, keys_max, wants }.into()
    })
}

fn page() -> impl Strategy<Value = Page> {
    (vec(bytes(50), 0..20), any::<(u64, u64, u32)>(), slots())
        .prop_map(|(keys, (count, pass, next), seen)| Page { keys, count, pass, next, seen })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        increment(),
        list_keys(),
        append(),
        touch(),
        patch(),
        swap(),
        (key(), condition(), gives()).prop_map(|(key, condition, gives)| Take {
            key,
            condition,
            gives
        }
        .into()),
        (key(), any::<u64>()).prop_map(|(key, bytes_max)| Find { key, bytes_max }.into()),
        key().prop_map(|key| Get { key }.into()),
        put().prop_map(Command::Put),
        key().prop_map(|key| Delete { key }.into()),
        Just(NextId.into()),
    ]
}

fn node_id() -> impl Strategy<Value = NodeId> {
    ("[a-z]{1,20}@[a-z]{1,20}", any::<u64>())
        .prop_map(|(name, boot)| NodeId { name: NodeName::new(&name).unwrap(), boot: Boot(boot) })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        option::of(node_id()).prop_map(|owner| Refusal::Moved { owner }),
        Just(Refusal::Later),
        any::<usize>().prop_map(|shard| Refusal::Failed(Error::Busy { shard })),
        any::<(usize, usize)>().prop_map(|(bytes, bytes_max)| {
            Refusal::Failed(Error::ValueTooLarge { bytes, bytes_max })
        }),
        "[a-z]{0,100}".prop_map(|owner| Error::Unanswered { owner: owner.into() }.into()),
    ]
}

fn changed() -> impl Strategy<Value = Changed> {
    prop_oneof![
        (version(), any::<i64>()).prop_map(|(version, number)| Changed::Done { version, number }),
        Just(Changed::Refused),
        any::<i64>().prop_map(|sum| Changed::Unfit(Unfit::Bound(sum))),
        "[a-zé]{0,300}".prop_map(|text| Changed::Unfit(Unfit::mismatch(&text))),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        changed().prop_map(Reply::Changed),
        page().prop_map(Reply::Page),
        option::of(entry()).prop_map(|old| Reply::Swapped(old, Stored::Refused)),
        option::of(entry()).prop_map(Reply::Entry),
        any::<u64>().prop_map(|version| Reply::Stored(Stored::Replaced(Version(version)))),
        Just(Reply::Stored(Stored::TooLarge)),
        any::<bool>().prop_map(Reply::Flag),
        any::<u64>().prop_map(Reply::Number),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let written = (key(), entry()).prop_map(|(key, entry)| {
        let Entry { value, media, version, expires_at, tags } = &entry;
        let new = NewEntry { value, media, expires_at: *expires_at, tags };
        Record::new(&key, &new, *version).unwrap()
    });
    let deleted =
        (key(), version()).prop_map(|(key, version)| Record::tombstone(&key, version, END));
    prop_oneof![written, deleted]
}

fn ping() -> impl Strategy<Value = Ping> {
    (any::<(u64, u64, u64, u64)>(), vec(any::<u8>(), 0..100))
        .prop_map(|((digest, epoch, clock, ids), hears)| Ping { digest, epoch, hears, clock, ids })
}

fn view() -> impl Strategy<Value = ViewRecord> {
    let member = (node_id(), any::<(u64, u8, u32)>(), "[0-9.:]{0,40}", "[0-9.:]{0,40}").prop_map(
        |(id, (incarnation, standing, weight), addr, http)| MemberRecord {
            name: id.name,
            boot: id.boot,
            incarnation,
            standing: [
                Standing::Joining,
                Standing::Alive,
                Standing::Leaving,
                Standing::Gone,
                Standing::Left,
                Standing::Forgotten,
            ][usize::from(standing % 6)],
            addr,
            http,
            weight,
        },
    );
    (any::<u64>(), vec(member, 0..10), any::<u64>())
        .prop_map(|(epoch, members, clock)| ViewRecord { epoch, members, clock })
}

fn slots() -> impl Strategy<Value = SlotSet> {
    vec(0..SLOTS, 0..2_000).prop_map(|slots| slots.into_iter().map(Slot).collect())
}

fn agreement() -> impl Strategy<Value = Agreement> {
    let item = ("[a-z/.]{1,100}", version(), option::of(bytes(100)));
    let items = vec(item.prop_map(|(name, version, value)| Item { name, version, value }), 0..8);
    (any::<u64>(), items).prop_map(|(digest, items)| Agreement { digest, items })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        ping().prop_map(Request::Ping),
        view().prop_map(Request::View),
        vec(command().prop_map(Ok), 0..8).prop_map(|all| Request::Run(all, vec![])),
        vec(key(), 0..8).prop_map(Request::Fetch),
        vec(record(), 0..8).prop_map(Request::Push),
        (any::<(u64, u64)>(), slots())
            .prop_map(|((id, digest), slots)| { Request::Claim(Claim { id, digest, slots }) }),
        vec((key(), any::<u64>().prop_map(Version)), 0..8).prop_map(Request::Took),
        Just(Request::Left),
        any::<(u64, u64, u64)>().prop_map(|(from, to, electors)| Request::Reserve(Reserve {
            from,
            to,
            electors
        })),
        agreement().prop_map(Request::Agree),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let outcome = prop_oneof![reply().prop_map(Ok), refusal().prop_map(Err)];
    let pushed = prop_oneof![
        Just(PushOutcome::Taken),
        Just(PushOutcome::Older),
        any::<usize>().prop_map(|shard| PushOutcome::Refused(Error::Busy { shard })),
    ];
    prop_oneof![
        ping().prop_map(Response::Pong),
        view().prop_map(Response::View),
        vec(outcome, 0..8).prop_map(Response::Ran),
        vec(option::of(record()), 0..8).prop_map(Response::Fetched),
        vec(pushed, 0..8).prop_map(Response::Pushed),
        (any::<(u64, u64)>(), slots()).prop_map(|((id, clock), residue)| {
            Response::Claimed(Claimed { id, residue, clock })
        }),
        any::<u64>().prop_map(|id| Response::ClaimRefused { id }),
        (any::<(bool, bool, u64)>(), vec(node_id(), 0..8)).prop_map(
            |((is_granted, is_informed, ceiling), electors)| {
                Response::Reserved(Reserved { is_granted, is_informed, ceiling, electors })
            }
        ),
        agreement().prop_map(Response::Agreed),
        Just(Response::Ok),
        Just(Response::Lost),
        "[ -~]{0,500}".prop_map(Response::Refused),
    ]
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was_sent(from in any::<u64>(), request in request()) {
        let bytes = encode_request(Boot(from), &request).unwrap();
        prop_assert_eq!(decode_request(&bytes).unwrap(), (Boot(from), request));
    }

    #[test]
    fn a_response_comes_back_as_it_was_sent(response in response()) {
        let bytes = encode_response(&response).unwrap();
        prop_assert_eq!(decode_response(&bytes).unwrap(), response);
    }

    #[test]
    fn a_message_that_is_cut_or_has_more_is_no_message(request in request(), at in any::<usize>()) {
        let mut bytes = encode_request(Boot(1), &request).unwrap();
        match (&request, decode_request(&bytes[..at % bytes.len()])) {
            // Between two commands, or two records, there is nothing that could be missed.
            (Request::Run(all, _), Ok((_, Request::Run(some, _)))) => {
                prop_assert!(some.len() < all.len() && all.starts_with(&some));
            }
            (Request::Push(all), Ok((_, Request::Push(some)))) => {
                prop_assert!(some.len() < all.len() && all.starts_with(&some));
            }
            (_, cut) => prop_assert!(cut.is_err()),
        }
        bytes.push(0);
        prop_assert!(decode_request(&bytes).is_err());
    }

    #[test]
    fn garbled_messages_do_no_harm(
        request in request(),
        response in response(),
        flips in vec(any::<(usize, u8)>(), 1..20),
    ) {
        let mut asked = encode_request(Boot(1), &request).unwrap();
        let mut answered = encode_response(&response).unwrap();
        for (at, bits) in flips {
            let (of_asked, of_answered) = (at % asked.len(), at % answered.len());
            asked[of_asked] ^= bits;
            answered[of_answered] ^= bits;
        }
        drop(decode_request(&asked));
        drop(decode_response(&answered));
    }

    #[test]
    fn noise_does_no_harm(noise in vec(any::<u8>(), 0..300)) {
        drop(decode_request(&noise));
        drop(decode_response(&noise));
    }
}

#[test]
fn what_is_over_the_limits_is_refused() {
    let value = Bytes::from(vec![0; PEER_FRAME_BYTES_MAX]);
    let put = Put {
        key: Key::new("a").unwrap(),
        value,
        media: MediaType::Bytes,
        expires_at: None,
        condition: Condition::Always,
    };
    let request = Request::Run(vec![Ok(put.into())], vec![]);
    let refused = encode_request(Boot(1), &request);
    assert!(matches!(refused, Err(CodecError::TooLarge { .. })), "{refused:?}");
    let keys = vec![Key::new("a").unwrap(); PEER_BATCH_COMMANDS_MAX + 1];
    let bytes = encode_request(Boot(1), &Request::Fetch(keys)).unwrap();
    assert!(decode_request(&bytes).is_err());
}

#[test]
fn names_are_checked_again_when_they_come_in() {
    let key = Key::in_namespace(Namespace::new("space").unwrap(), "key").unwrap();
    let bytes = encode_request(Boot(1), &Request::Fetch(vec![key])).unwrap();
    assert!(decode_request(&bytes).is_ok());
    let at = bytes.windows(5).position(|window| window == b"space").unwrap();
    let mut wrong = bytes.clone();
    wrong[at] = b'/';
    assert!(decode_request(&wrong).is_err());
}
