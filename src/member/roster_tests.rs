use std::time::Duration;

use super::{
    Boot, Heartbeat, Member, NodeId, NodeName, PeerState, Roster, RosterAction, RosterEvent,
    Standing, View,
};
use crate::limits::{DEAD_AFTER, DEAD_KEEP, GONE_KEEP, MEMBER_TICK, MEMBERS_MAX};

fn member(name: &str, boot: u64, incarnation: u64) -> Member {
    Member {
        id: NodeId { name: NodeName::new(name).unwrap(), boot: Boot(boot) },
        addr: format!("{name}:4040"),
        http: String::new(),
        incarnation,
        standing: Standing::Alive,
        weight: 1,
    }
}

/// `a`, linked with `b`, at the time 0.
fn pair() -> (Roster, Member) {
    let b = member("b", 2, 20);
    let mut roster = Roster::new(member("a", 1, 10));
    roster.step(Duration::ZERO, RosterEvent::Form);
    roster.step(Duration::ZERO, RosterEvent::Met(b.clone()));
    roster.step(Duration::ZERO, RosterEvent::Linked(b.id.clone()));
    let beat = roster.heartbeat(Duration::ZERO);
    roster.step(Duration::ZERO, RosterEvent::Heard { from: b.id.clone(), beat });
    (roster, b)
}

#[test]
fn a_silent_member_is_dead_in_time_and_not_before() {
    let (mut roster, b) = pair();
    let mut now = Duration::ZERO;
    let died = RosterAction::Died(b.id);
    while !roster.step(now, RosterEvent::Tick).contains(&died) {
        now += MEMBER_TICK;
        assert!(now <= DEAD_AFTER + MEMBER_TICK);
    }
    assert!(DEAD_AFTER <= now);
    assert_eq!(roster.view().living().count(), 1);
}

#[test]
fn who_joins_hears_of_those_who_were_lost_before_and_may_be_back() {
    let (mut roster, b) = pair();
    let c = Member { standing: Standing::Gone, ..member("c", 3, 30) };
    let d = Member { standing: Standing::Left, ..member("d", 4, 40) };
    let view = View::new(7, [b.clone(), c.clone(), d]);
    let actions = roster.step(Duration::ZERO, RosterEvent::ViewReceived { from: b.id, view });
    let is_missed = |action: &RosterAction| matches!(action, RosterAction::Missed(_));
    let missed: Vec<_> = actions.into_iter().filter(is_missed).collect();
    assert_eq!(missed, [RosterAction::Missed(c.id)]);
}

#[test]
fn a_false_word_of_our_death_is_refuted() {
    let (mut roster, b) = pair();
    let before = roster.own().incarnation;
    let gone = Member { standing: Standing::Gone, ..roster.own().clone() };
    let view = View::new(7, [gone, b.clone()]);
    roster.step(Duration::ZERO, RosterEvent::ViewReceived { from: b.id, view });
    assert_eq!((roster.own().standing, roster.own().incarnation), (Standing::Alive, before + 1));
}

#[test]
fn a_greater_run_of_our_name_takes_our_place() {
    let (mut roster, b) = pair();
    let other = member("a", 9, 1_000);
    let view = View::new(7, [other.clone(), b.clone()]);
    let actions = roster.step(Duration::ZERO, RosterEvent::ViewReceived { from: b.id, view });
    assert!(actions.contains(&RosterAction::Superseded { by: other.id }));
}

#[test]
fn a_name_is_free_again_when_its_link_closed_in_silence() {
    let (mut roster, b) = pair();
    let admit = |roster: &Roster, boot| roster.admit(&b.id.name, Boot(boot), Duration::ZERO);
    assert_eq!(admit(&roster, 2), Ok(0));
    assert!(admit(&roster, 3).is_err());
    roster.step(Duration::ZERO, RosterEvent::Unlinked(b.id.clone()));
    assert_eq!(admit(&roster, 3), Ok(21));
    assert!(roster.admit(&roster.own().id.name, Boot(3), Duration::ZERO).is_err());
}

#[test]
fn a_node_is_alive_with_the_view_of_a_member_that_is() {
    let mut roster = Roster::new(member("a", 1, 10));
    let b = member("b", 2, 20);
    roster.step(Duration::ZERO, RosterEvent::Met(b.clone()));
    assert_eq!(roster.own().standing, Standing::Joining);
    let view = View::new(3, [b.clone(), member("c", 3, 30)]);
    roster.step(Duration::ZERO, RosterEvent::ViewReceived { from: b.id, view });
    assert_eq!(roster.own().standing, Standing::Alive);
    assert_eq!(roster.view().living().count(), 3);
}

#[test]
fn a_view_is_sent_as_what_the_other_may_not_know() {
    let (mut roster, b) = pair();
    let names = |view: View| view.members().map(|m| m.id.name.to_string()).collect::<Vec<_>>();
    assert!(names(roster.view_for(&b.id)).is_empty(), "it showed that it has them");
    roster.step(Duration::ZERO, RosterEvent::Linked(b.id.clone()));
    assert_eq!(names(roster.view_for(&b.id)), ["a", "b"]);
    assert!(names(roster.view_for(&b.id)).is_empty());
    roster.step(Duration::ZERO, RosterEvent::Met(member("c", 3, 30)));
    assert_eq!(names(roster.view_for(&b.id)), ["c"]);
    let view = View::new(3, [member("d", 4, 40)]);
    roster.step(Duration::ZERO, RosterEvent::ViewReceived { from: b.id.clone(), view });
    assert!(names(roster.view_for(&b.id)).is_empty(), "it told us of d itself");
}

#[test]
fn all_is_sent_again_when_views_differ_though_all_was_told() {
    let (mut roster, b) = pair();
    roster.view_for(&b.id);
    let mut sent = Vec::new();
    for second in [1, 2] {
        let now = Duration::from_secs(second);
        roster.step(now, RosterEvent::Tick);
        let beat = Heartbeat { digest: 0, ..roster.heartbeat(now) };
        let actions = roster.step(now, RosterEvent::Heard { from: b.id.clone(), beat });
        assert!(actions.contains(&RosterAction::SendView { to: b.id.clone() }));
        sent.push(roster.view_for(&b.id).members().count());
    }
    assert_eq!(sent, [0, 2]);
}

#[test]
fn who_is_joining_gets_the_whole_view() {
    let (mut roster, _) = pair();
    let c = Member { standing: Standing::Joining, ..member("c", 3, 30) };
    roster.step(Duration::ZERO, RosterEvent::Met(c.clone()));
    roster.view_for(&c.id);
    assert_eq!(roster.view_for(&c.id).members().count(), 3);
}

#[test]
fn a_node_is_alive_when_it_has_the_view_of_one_who_is_without_being_sent_it() {
    let mut roster = Roster::new(member("a", 1, 10));
    let b = member("b", 2, 20);
    roster.step(Duration::ZERO, RosterEvent::Met(b.clone()));
    let beat = roster.heartbeat(Duration::ZERO);
    let other = Heartbeat { digest: 0, ..beat.clone() };
    roster.step(Duration::ZERO, RosterEvent::Heard { from: b.id.clone(), beat: other });
    assert_eq!(roster.own().standing, Standing::Joining);
    roster.step(Duration::ZERO, RosterEvent::Heard { from: b.id, beat });
    assert_eq!(roster.own().standing, Standing::Alive);
}

/// What `a` thinks of `b`; `None` if it shows nothing of it.
fn state_of_b(roster: &Roster, now: Duration) -> Option<PeerState> {
    roster.states(now).find(|(m, ..)| m.id.name.as_str() == "b").map(|(_, state, _)| state)
}

fn say(roster: &mut Roster, now: Duration, b: &Member, standing: Standing) -> Vec<RosterAction> {
    let view = View::new(0, [Member { standing, ..b.clone() }]);
    roster.step(now, RosterEvent::ViewReceived { from: b.id.clone(), view })
}

#[test]
fn who_has_left_is_not_dialled_and_who_is_dead_is_for_an_hour() {
    let (mut roster, b) = pair();
    roster.step(Duration::ZERO, RosterEvent::Unlinked(b.id.clone()));
    assert!(
        say(&mut roster, Duration::ZERO, &b, Standing::Gone)
            .contains(&RosterAction::Died(b.id.clone()))
    );
    let late = DEAD_KEEP - MEMBER_TICK;
    roster.step(late, RosterEvent::Tick);
    assert_eq!(state_of_b(&roster, late), Some(PeerState::Dead));
    assert_eq!(roster.wanted().count(), 1);
    roster.step(DEAD_KEEP, RosterEvent::Tick);
    assert_eq!(state_of_b(&roster, DEAD_KEEP), None);

    let (mut roster, b) = pair();
    roster.step(Duration::ZERO, RosterEvent::Unlinked(b.id.clone()));
    let said = say(&mut roster, Duration::ZERO, &b, Standing::Left);
    assert!(said.contains(&RosterAction::Left(b.id.clone())), "{said:?}");
    assert_eq!(state_of_b(&roster, Duration::ZERO), Some(PeerState::Left));
    assert_eq!(roster.wanted().count(), 0);
    roster.step(GONE_KEEP, RosterEvent::Tick);
    assert_eq!(state_of_b(&roster, GONE_KEEP), None);
}

#[test]
fn who_is_forgotten_is_not_shown_and_everybody_is_told() {
    let (mut roster, b) = pair();
    let c = member("c", 3, 30);
    roster.step(Duration::ZERO, RosterEvent::Met(c.clone()));
    roster.step(Duration::ZERO, RosterEvent::Linked(c.id.clone()));
    let forget = || RosterEvent::Forget(b.id.name.clone());
    assert_eq!(roster.step(Duration::ZERO, forget()), [], "it lives");
    say(&mut roster, Duration::ZERO, &b, Standing::Gone);
    let actions = roster.step(Duration::ZERO, forget());
    assert!(actions.contains(&RosterAction::SendView { to: c.id }), "{actions:?}");
    assert_eq!(state_of_b(&roster, Duration::ZERO), None);
    // Late word of its death changes nothing, and of its life neither.
    for standing in [Standing::Alive, Standing::Gone, Standing::Left] {
        say(&mut roster, Duration::ZERO, &b, standing);
        assert_eq!(state_of_b(&roster, Duration::ZERO), None);
    }
    // If it lives it says so itself.
    let alive = Member { incarnation: b.incarnation + 1, ..b.clone() };
    say(&mut roster, Duration::ZERO, &alive, Standing::Alive);
    assert_eq!(roster.view().get(&b.id.name).map(|member| member.standing), Some(Standing::Alive));
}

#[test]
fn the_dead_leave_room_for_the_living() {
    let (mut roster, _) = pair();
    for n in 0..MEMBERS_MAX as u64 / 2 {
        let dead = member(&format!("dead-{n}"), n + 10, 1);
        roster.step(Duration::ZERO, RosterEvent::Met(dead.clone()));
        say(&mut roster, Duration::ZERO, &dead, Standing::Gone);
    }
    roster.step(GONE_KEEP, RosterEvent::Tick);
    assert!(roster.view().members().count() < 4);
}
