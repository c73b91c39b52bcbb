use std::sync::Arc;
use std::time::Duration;

use super::{Handoff, HandoffAction, HandoffEvent, PartitionMap, SlotSet};
use crate::member::{Boot, Member, NodeId, NodeName, Standing, View};

const NOW: Duration = Duration::from_secs(1);

fn member(name: &str, standing: Standing) -> Member {
    Member {
        id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(1) },
        addr: String::new(),
        http: String::new(),
        incarnation: 1,
        standing,
        weight: 1,
    }
}

fn event(members: &[Member]) -> HandoffEvent {
    HandoffEvent::ViewChanged(Arc::new(PartitionMap::new(&View::new(1, members.to_vec()))))
}

/// Lets `to` have what `from` wants of it, and returns what the answer does.
fn claim(from: &mut Handoff, to: &mut Handoff, ids: [&NodeId; 2]) -> Vec<HandoffAction> {
    let tick = from.step(NOW + Duration::from_secs(1), HandoffEvent::Tick);
    let claims = tick.into_iter().find_map(|action| match action {
        HandoffAction::Claim { id, digest, slots, .. } => Some((id, digest, slots)),
        _ => None,
    });
    let (id, digest, slots) = claims.unwrap();
    let claim = HandoffEvent::Claim { from: ids[0].clone(), id, digest, slots };
    let residue = match to.step(NOW, claim).pop() {
        Some(HandoffAction::Answer { residue, .. }) => residue,
        other => panic!("{other:?}"),
    };
    from.step(NOW, HandoffEvent::Answered { from: ids[1].clone(), id, residue })
}

#[test]
fn a_slot_goes_from_its_holder_to_its_owner_with_its_residue() {
    let (a, b) = (member("a", Standing::Alive), member("b", Standing::Alive));
    let (mut one, mut two) = (Handoff::new(a.id.clone()), Handoff::new(b.id.clone()));
    let opened = one.step(NOW, event(std::slice::from_ref(&a)));
    assert_eq!(opened, [HandoffAction::Open(SlotSet::all())]);

    let joining = Member { standing: Standing::Joining, ..b.clone() };
    assert_eq!(one.step(NOW, event(&[a.clone(), joining])), []);
    one.step(NOW, event(&[a.clone(), b.clone()]));
    assert_eq!(one.held(), &SlotSet::all());

    two.step(NOW, event(&[a.clone(), b.clone()]));
    assert!(two.held().is_empty() && !two.claiming().is_empty());
    claim(&mut two, &mut one, [&b.id, &a.id]);
    assert!(one.held().and(two.held()).is_empty());
    assert_eq!(one.held().len() + two.held().len(), SlotSet::all().len());
    assert_eq!(one.residue(), two.held());
    assert_eq!(&two.arriving(), two.held());

    let cleared = one.begin_pass();
    one.step(NOW, HandoffEvent::ResidueCleared(cleared));
    claim(&mut two, &mut one, [&b.id, &a.id]);
    assert!(two.arriving().is_empty());
}

#[test]
fn a_claim_of_another_view_is_refused() {
    let a = member("a", Standing::Alive);
    let mut one = Handoff::new(a.id.clone());
    one.step(NOW, event(std::slice::from_ref(&a)));
    let from = member("b", Standing::Alive).id;
    let claim = HandoffEvent::Claim { from: from.clone(), id: 1, digest: 0, slots: SlotSet::all() };
    assert_eq!(one.step(NOW, claim), [HandoffAction::Refuse { to: from, id: 1 }]);
    assert_eq!(one.held(), &SlotSet::all());
}

#[test]
fn what_came_during_a_pass_is_not_cleared_by_it() {
    let (a, b) = (member("a", Standing::Alive), member("b", Standing::Alive));
    let (mut one, mut two) = (Handoff::new(a.id.clone()), Handoff::new(b.id.clone()));
    one.step(NOW, event(std::slice::from_ref(&a)));
    let _ = one.begin_pass();
    let joining = Member { standing: Standing::Joining, ..b.clone() };
    one.step(NOW, event(&[a.clone(), joining]));
    one.step(NOW, event(&[a.clone(), b.clone()]));
    two.step(NOW, event(&[a.clone(), b.clone()]));
    claim(&mut two, &mut one, [&b.id, &a.id]);
    one.step(NOW, HandoffEvent::ResidueCleared(SlotSet::all()));
    assert_eq!(one.residue(), two.held());
}

#[test]
fn who_was_asleep_closes_everything() {
    let (a, b) = (member("a", Standing::Alive), member("b", Standing::Joining));
    let mut one = Handoff::new(a.id.clone());
    one.step(NOW, event(std::slice::from_ref(&a)));
    one.step(NOW, event(&[a, b]));
    let woke = one.step(NOW, HandoffEvent::Woke);
    assert_eq!(woke.first(), Some(&HandoffAction::Close(SlotSet::all())));
    assert!(one.held().is_empty());
}
