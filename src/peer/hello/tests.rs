//! HELLOs that go well, and those that must not.

use proptest::prelude::*;

use super::*;
use crate::member::{Boot, NodeId, NodeName, Standing};

fn local_of(name: &str, boot: u64, cookie: &str) -> Local {
    let me = Member {
        id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) },
        incarnation: 7,
        addr: "127.0.0.1:1".to_owned(),
        http: String::new(),
        weight: 100,
        standing: Standing::Joining,
    };
    Local::new(me, "smache".to_owned(), Some(&Secret::new(cookie.to_owned())))
}

fn fresh(n: u8) -> Fresh {
    Fresh { nonce: [n; 32], time: Millis(1_000 * u64::from(n)) }
}

fn nodes() -> (Local, Local) {
    (local_of("a@test", 1, "secret"), local_of("b@test", 2, "secret"))
}

/// Both sides after their hellos: the dialer's proof, and what the acceptor checks it with.
fn met(dialer: &Local, acceptor: &Local) -> (DialerProving, Frame, Acceptor) {
    let (dialing, hello) = Dialer::start(dialer, fresh(1)).unwrap();
    let (accepting, _, answer) = Acceptor::meet(acceptor, fresh(2), &hello).unwrap();
    let (proving, _, proof) = dialing.meet(dialer, &answer).unwrap();
    (proving, proof, accepting)
}

#[test]
fn both_sides_learn_who_the_other_is_and_the_dialer_its_floor() {
    let (a, b) = nodes();
    let (dialing, hello) = Dialer::start(&a, fresh(1)).unwrap();
    let (acceptor, dialer, answer) = Acceptor::meet(&b, fresh(2), &hello).unwrap();
    assert_eq!(dialer.member, a.me);
    let (proving, acceptor_info, proof) = dialing.meet(&a, &answer).unwrap();
    assert_eq!(acceptor_info.member, b.me);
    assert_eq!(acceptor_info.version, env!("CARGO_PKG_VERSION"));
    let accept = acceptor.check(&b, &proof).unwrap().accept(&b, 41);
    assert_eq!(proving.finish(&a, &accept), Ok(41));
}

#[test]
fn both_sides_hear_the_time_of_the_other_and_pass_over_what_is_behind_it() {
    let (a, b) = nodes();
    let (dialing, hello) = Dialer::start(&a, fresh(1)).unwrap();
    let longer = Frame::new(HELLO, &[hello.expect(HELLO).unwrap(), b"later"].concat());
    let (_, dialer, answer) = Acceptor::meet(&b, fresh(2), &longer).unwrap();
    let (_, acceptor, _) = dialing.meet(&a, &answer).unwrap();
    assert_eq!(dialer.time, Some(Millis(1_000)));
    assert_eq!(acceptor.time, Some(Millis(2_000)));
    // Who says none is compared with nobody.
    let body = hello.expect(HELLO).unwrap();
    let silent = Frame::new(HELLO, &body[..body.len() - 8]);
    assert_eq!(Acceptor::meet(&b, fresh(2), &silent).unwrap().1.time, None);
}

#[test]
fn a_time_that_was_changed_on_the_way_is_no_proof() {
    let (a, b) = nodes();
    let (dialing, Frame(mut hello)) = Dialer::start(&a, fresh(1)).unwrap();
    *hello.last_mut().unwrap() ^= 1;
    let (acceptor, _, answer) = Acceptor::meet(&b, fresh(2), &Frame(hello)).unwrap();
    let (_, _, proof) = dialing.meet(&a, &answer).unwrap();
    assert_eq!(acceptor.check(&b, &proof).err(), Some(HelloError::Here(Refused::Cookie)));
}

#[test]
fn neither_side_goes_on_with_who_has_another_cookie() {
    let (a, b) = (local_of("a@test", 1, "secret"), local_of("b@test", 2, "other"));
    let (proving, proof, acceptor) = met(&a, &b);
    assert_eq!(acceptor.check(&b, &proof).err(), Some(HelloError::Here(Refused::Cookie)));
    let forged = Accepting { transcript: Transcript(vec![1]) }.accept(&b, 0);
    assert_eq!(proving.finish(&a, &forged), Err(HelloError::Here(Refused::Cookie)));
}

#[test]
fn a_floor_that_was_changed_on_the_way_is_no_acceptance() {
    let (a, b) = nodes();
    let (proving, proof, acceptor) = met(&a, &b);
    let Frame(mut accept) = acceptor.check(&b, &proof).unwrap().accept(&b, 41);
    *accept.last_mut().unwrap() ^= 1;
    assert_eq!(proving.finish(&a, &Frame(accept)), Err(HelloError::Here(Refused::Cookie)));
}

#[test]
fn a_proof_is_good_for_one_role_and_one_meeting() {
    let (a, b) = nodes();
    let (proving, proof, acceptor) = met(&a, &b);
    let reflected = Frame::new(ACCEPT, &[proof.expect(PROOF).unwrap(), &[0; 8]].concat());
    assert_eq!(proving.finish(&a, &reflected), Err(HelloError::Here(Refused::Cookie)));
    assert!(acceptor.check(&b, &proof).is_ok());
    let (_, hello) = Dialer::start(&a, fresh(1)).unwrap();
    let (acceptor, ..) = Acceptor::meet(&b, fresh(3), &hello).unwrap();
    assert_eq!(acceptor.check(&b, &proof).err(), Some(HelloError::Here(Refused::Cookie)));
}

#[test]
fn a_node_that_meets_itself_proves_nothing() {
    let (a, _) = nodes();
    let (dialing, hello) = Dialer::start(&a, fresh(1)).unwrap();
    let itself = Some(HelloError::Here(Refused::Itself));
    assert_eq!(Acceptor::meet(&a, fresh(2), &hello).err(), itself);
    assert_eq!(dialing.meet(&a, &a.hello(fresh(2)).unwrap()).err(), itself);
}

fn speaking(mut local: Local, min: u16, max: u16) -> Local {
    local.protocols = Protocols::new(min, max).unwrap();
    local
}

/// The hello of `local`, with its record as `change` makes it.
fn hello_with(local: &Local, change: impl FnOnce(&mut HelloRecord)) -> Frame {
    let hello = local.hello(fresh(1)).unwrap();
    let (_, record, _) = split_hello(hello.expect(HELLO).unwrap()).unwrap();
    let mut record = read_record(record).unwrap();
    change(&mut record);
    let record = codec::encode(&record, 0).unwrap();
    let len = u16::try_from(record.len()).unwrap().to_be_bytes();
    Frame::new(HELLO, &[&MAGIC[..], &local.protocols.to_bytes(), &len, &record].concat())
}

#[test]
fn both_sides_go_on_in_the_greatest_protocol_they_have_in_common() {
    for (ours, theirs, common) in
        [((2, 2), (2, 3), 2), ((2, 3), (2, 3), 3), ((1, 4), (3, 9), 4), ((7, 9), (5, 8), 8)]
    {
        let (a, b) = nodes();
        let (a, b) = (speaking(a, ours.0, ours.1), speaking(b, theirs.0, theirs.1));
        let (dialing, hello) = Dialer::start(&a, fresh(1)).unwrap();
        let (_, dialer, answer) = Acceptor::meet(&b, fresh(2), &hello).unwrap();
        let (_, acceptor, _) = dialing.meet(&a, &answer).unwrap();
        assert_eq!((dialer.protocol, acceptor.protocol), (common, common));
    }
}

#[test]
fn nodes_without_a_common_protocol_both_learn_both_ranges() {
    let (a, b) = nodes();
    let (a, b) = (speaking(a, 3, 4), speaking(b, 1, 2));
    let ranges = "the one refused speaks 3..=4, the one that refuses speaks 1..=2";
    let refused = Refused::Protocol(ranges.to_owned());
    let (dialing, hello) = Dialer::start(&a, fresh(1)).unwrap();
    let met = Acceptor::meet(&b, fresh(2), &hello);
    assert_eq!(met.err(), Some(HelloError::Here(refused.clone())));
    let told = dialing.meet(&a, &Frame::refuse(&refused));
    assert_eq!(told.err(), Some(HelloError::There(refused)));
}

#[test]
fn the_range_is_read_before_whatever_else_another_protocol_says() {
    let (a, _) = nodes();
    for rest in [&b""[..], b"\0", b"in words that are not known here"] {
        let body = [&MAGIC[..], &[0, 200, 0, 201], rest].concat();
        let (dialing, _) = Dialer::start(&a, fresh(1)).unwrap();
        let Err(HelloError::Here(Refused::Protocol(ranges))) =
            dialing.meet(&a, &Frame::new(HELLO, &body)).map(drop)
        else {
            panic!("it went on");
        };
        assert!(ranges.contains("200..=201"), "{ranges}");
    }
}

#[test]
fn what_a_later_version_adds_to_its_hello_is_passed_over() {
    let (a, b) = nodes();
    let Frame(hello) = a.hello(fresh(1)).unwrap();
    let longer = Frame::new(HELLO, &[&hello[HEADER_BYTES..], b"and more"].concat());
    let (_, peer, _) = Acceptor::meet(&b, fresh(2), &longer).unwrap();
    assert_eq!(peer.member, a.me);
}

#[test]
fn a_version_is_short_and_plain() {
    let (a, b) = nodes();
    for version in ["1".repeat(SOFTWARE_VERSION_BYTES_MAX + 1), "1.0\n".to_owned()] {
        let hello = hello_with(&a, |record| record.version = version);
        let met = Acceptor::meet(&b, fresh(2), &hello);
        assert!(matches!(met.map(drop), Err(HelloError::Garbled(_))));
    }
}

#[test]
fn who_says_of_itself_what_no_member_can_be_is_no_node() {
    let (a, b) = nodes();
    let changes: [fn(&mut HelloRecord); 5] = [
        |record| record.weight = 0,
        |record| record.incarnation = u64::MAX,
        |record| record.addr = "127.0.0.1:1\n".to_owned(),
        |record| record.http = "\u{e4}:1".to_owned(),
        |record| record.http = "a".repeat(PEER_TEXT_BYTES_MAX + 1),
    ];
    for change in changes {
        let hello = hello_with(&a, change);
        let met = Acceptor::meet(&b, fresh(2), &hello).map(drop);
        assert!(matches!(met, Err(HelloError::Garbled(_))), "{met:?}");
        let (dialing, _) = Dialer::start(&b, fresh(1)).unwrap();
        let met = dialing.meet(&b, &hello).map(drop);
        assert!(matches!(met, Err(HelloError::Garbled(_))), "{met:?}");
    }
}

proptest! {
    #[test]
    fn noise_is_no_hello(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (a, b) = nodes();
        let (dialing, _) = Dialer::start(&a, fresh(1)).unwrap();
        prop_assert!(dialing.meet(&a, &Frame(noise.clone())).is_err());
        let (proving, _, acceptor) = met(&a, &b);
        prop_assert!(acceptor.check(&b, &Frame(noise.clone())).is_err());
        prop_assert!(proving.finish(&a, &Frame(noise)).is_err());
    }

    #[test]
    fn a_hello_that_was_changed_is_proved_by_nobody(at in any::<usize>(), bit in 0_u32..8) {
        let (a, b) = nodes();
        let (dialing, hello) = Dialer::start(&a, fresh(1)).unwrap();
        let Frame(mut changed) = hello;
        let at = at % changed.len();
        changed[at] ^= 1_u8 << bit;
        if let Ok((acceptor, _, answer)) = Acceptor::meet(&b, fresh(2), &Frame(changed)) {
            let (_, _, proof) = dialing.meet(&a, &answer).unwrap();
            prop_assert!(acceptor.check(&b, &proof).is_err());
        }
    }
}
