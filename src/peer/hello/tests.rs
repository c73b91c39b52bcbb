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

fn nodes() -> (Local, Local) {
    (local_of("a@test", 1, "secret"), local_of("b@test", 2, "secret"))
}

/// Both sides after their hellos: the dialer's proof, and what the acceptor checks it with.
fn met(dialer: &Local, acceptor: &Local) -> (DialerProving, Frame, Acceptor) {
    let (dialing, hello) = Dialer::start(dialer, [1; 32]).unwrap();
    let (accepting, _, answer) = Acceptor::meet(acceptor, [2; 32], &hello).unwrap();
    let (proving, _, proof) = dialing.meet(dialer, &answer).unwrap();
    (proving, proof, accepting)
}

#[test]
fn both_sides_learn_who_the_other_is_and_the_dialer_its_floor() {
    let (a, b) = nodes();
    let (dialing, hello) = Dialer::start(&a, [1; 32]).unwrap();
    let (acceptor, dialer, answer) = Acceptor::meet(&b, [2; 32], &hello).unwrap();
    assert_eq!(dialer, a.me);
    let (proving, acceptor_info, proof) = dialing.meet(&a, &answer).unwrap();
    assert_eq!(acceptor_info, b.me);
    let accept = acceptor.check(&b, &proof).unwrap().accept(&b, 41);
    assert_eq!(proving.finish(&a, &accept), Ok(41));
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
    let (_, hello) = Dialer::start(&a, [1; 32]).unwrap();
    let (acceptor, ..) = Acceptor::meet(&b, [3; 32], &hello).unwrap();
    assert_eq!(acceptor.check(&b, &proof).err(), Some(HelloError::Here(Refused::Cookie)));
}

#[test]
fn a_node_that_meets_itself_proves_nothing() {
    let (a, _) = nodes();
    let (dialing, hello) = Dialer::start(&a, [1; 32]).unwrap();
    let itself = Some(HelloError::Here(Refused::Itself));
    assert_eq!(Acceptor::meet(&a, [2; 32], &hello).err(), itself);
    assert_eq!(dialing.meet(&a, &a.hello([2; 32]).unwrap()).err(), itself);
}

#[test]
fn a_node_of_another_protocol_is_told_both() {
    let (a, b) = nodes();
    let Frame(mut hello) = a.hello([1; 32]).unwrap();
    hello[HEADER_BYTES + MAGIC.len()..HEADER_BYTES + PREFIX_BYTES].copy_from_slice(&[0, 3, 0, 4]);
    let refused = Refused::Protocol("3..4, here 1..1".to_owned());
    let met = Acceptor::meet(&b, [2; 32], &Frame(hello));
    assert_eq!(met.err(), Some(HelloError::Here(refused.clone())));
    let told = Frame::refuse(&refused);
    assert_eq!(told.expect(HELLO), Err(HelloError::There(refused)));
}

proptest! {
    #[test]
    fn noise_is_no_hello(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (a, b) = nodes();
        let (dialing, _) = Dialer::start(&a, [1; 32]).unwrap();
        prop_assert!(dialing.meet(&a, &Frame(noise.clone())).is_err());
        let (proving, _, acceptor) = met(&a, &b);
        prop_assert!(acceptor.check(&b, &Frame(noise.clone())).is_err());
        prop_assert!(proving.finish(&a, &Frame(noise)).is_err());
    }

    #[test]
    fn a_hello_that_was_changed_is_proved_by_nobody(at in any::<usize>(), bit in 0_u32..8) {
        let (a, b) = nodes();
        let (dialing, hello) = Dialer::start(&a, [1; 32]).unwrap();
        let Frame(mut changed) = hello;
        let at = at % changed.len();
        changed[at] ^= 1_u8 << bit;
        if let Ok((acceptor, _, answer)) = Acceptor::meet(&b, [2; 32], &Frame(changed)) {
            let (_, _, proof) = dialing.meet(&a, &answer).unwrap();
            prop_assert!(acceptor.check(&b, &proof).is_err());
        }
    }
}
