//! Made-up histories: every kind of violation is found, and nothing else.

use std::collections::HashMap;

use super::ground::{Effect, Ground};
use super::history::{MILLI, Op, Outcome, SECOND, Time, What};
use super::judge::{Broken, Excuse, judge_ids, judge_key, judge_last};

const STORED: Outcome = Outcome::Stored { is_new: false };
const DELETED: Outcome = Outcome::Deleted { was_there: true };

/// An operation of 10 ms that begins at `at` ms; node 0 has the key.
fn op(at: u64, what: What, outcome: Outcome) -> Op {
    let begin = at * MILLI;
    let end = begin + 10 * MILLI;
    Op { what, begin, end, asked: 0, outcome, holder: Some(0), note: String::new() }
}

fn put(at: u64, n: u64) -> Op {
    op(at, What::Put { n, ttl: None }, STORED)
}

/// A put for one second.
fn brief(at: u64, n: u64) -> Op {
    op(at, What::Put { n, ttl: Some(SECOND) }, STORED)
}

fn unknown(of: Op) -> Op {
    Op { outcome: Outcome::Unknown, holder: None, ..of }
}

fn delete(at: u64) -> Op {
    op(at, What::Delete, DELETED)
}

fn found(at: u64, n: u64) -> Op {
    op(at, What::Read, Outcome::Found(n))
}

fn absent(at: u64) -> Op {
    Op { holder: None, ..op(at, What::Read, Outcome::Absent) }
}

fn at_node(node: usize, of: Op) -> Op {
    Op { holder: Some(node), ..of }
}

/// What is broken in a history, and what is excused.
fn judged(mut ops: Vec<Op>, ground: &Ground) -> (Vec<Broken>, Vec<Excuse>) {
    ops.sort_by_key(|op| op.begin);
    let verdict = judge_key(&ops, ground);
    let broken = verdict.violations.iter().map(|violation| violation.broken).collect();
    (broken, verdict.excused.into_keys().collect())
}

fn broken(ops: impl Into<Vec<Op>>) -> Vec<Broken> {
    let calm = (0..100).map(|at| at * 100 * MILLI).collect();
    judged(ops.into(), &Ground { calm, ..Ground::default() }).0
}

/// Three nodes to which this happens, at times in ms, and which agree at the given times.
fn ground(effects: &[(u64, Effect)], calm: &[u64]) -> Ground {
    let mut all: Vec<_> = (0..3).map(|node| (0, Effect::Up(node))).collect();
    all.extend(effects.iter().map(|(at, effect)| (at * MILLI, *effect)));
    Ground::new(&all, calm.iter().map(|at| at * MILLI).collect(), 3)
}

fn crash(at: u64, node: usize) -> Ground {
    ground(&[(at, Effect::Crashed(node))], &[0, at - 100, at + 2_000])
}

#[test]
fn a_history_in_which_all_is_well_breaks_nothing() {
    let ops = [
        absent(0),
        put(100, 1),
        found(200, 1),
        put(300, 2),
        found(400, 2),
        delete(500),
        absent(600),
        brief(700, 3),
        found(800, 3),
        absent(1_750),
        put(1_800, 4),
    ];
    assert_eq!(broken(ops), []);
}

#[test]
fn an_acknowledged_write_that_is_gone_is_lost() {
    assert_eq!(broken([put(0, 1), absent(100), absent(200)]), [Broken::Lost]);
    let verdict = judge_key(&[put(0, 1), absent(100), absent(200)], &Ground::default());
    assert_eq!(verdict.violations[0].times, 2);
}

#[test]
fn writes_tell_what_was_there_as_reads_do() {
    let new = op(100, What::Put { n: 2, ttl: None }, Outcome::Stored { is_new: true });
    assert_eq!(broken([put(0, 1), new]), [Broken::Lost]);
    let gone = op(100, What::Delete, Outcome::Deleted { was_there: false });
    assert_eq!(broken([put(0, 1), gone]), [Broken::Lost]);
}

#[test]
fn a_write_of_unknown_outcome_that_was_read_is_not_lost_either() {
    let ops = [put(0, 1), unknown(put(100, 2)), found(200, 2), absent(300)];
    assert_eq!(broken(ops), [Broken::Lost]);
    let ops = [put(0, 1), unknown(put(100, 2)), found(200, 2), found(300, 1)];
    assert_eq!(broken(ops), [Broken::Stale]);
}

#[test]
fn what_is_absent_and_then_found_again_was_missed() {
    assert_eq!(broken([put(0, 1), absent(100), found(200, 1)]), [Broken::Missed]);
    // Also if a process went down: what it took along does not come back.
    let ops = vec![put(0, 1), absent(1_100), found(1_200, 1)];
    assert_eq!(judged(ops, &crash(1_000, 0)).0, [Broken::Missed]);
}

#[test]
fn what_was_replaced_before_a_read_is_stale() {
    assert_eq!(broken([put(0, 1), put(100, 2), found(200, 1)]), [Broken::Stale]);
    assert_eq!(broken([put(0, 1), brief(100, 2), found(1_500, 1)]), [Broken::Stale]);
    // A crash excuses what is gone and not what is old.
    let ops = vec![put(0, 1), put(100, 2), found(1_200, 1)];
    assert_eq!(judged(ops, &crash(1_000, 0)), (vec![Broken::Stale], vec![]));
}

#[test]
fn what_was_deleted_stays_deleted() {
    assert_eq!(broken([put(0, 1), delete(100), found(200, 1)]), [Broken::Resurrected]);
    let again = [put(0, 1), unknown(put(50, 2)), found(70, 2), delete(100), found(200, 2)];
    assert_eq!(broken(again), [Broken::Resurrected]);
}

#[test]
fn what_ended_stays_gone_and_does_not_end_before() {
    assert_eq!(broken([brief(0, 1), found(1_105, 1)]), []);
    assert_eq!(broken([brief(0, 1), found(1_115, 1)]), [Broken::Late]);
    assert_eq!(broken([brief(0, 1), absent(895)]), []);
    assert_eq!(broken([brief(0, 1), absent(885)]), [Broken::Early]);
}

#[test]
fn what_was_refused_or_never_written_is_not_found() {
    let refused = Op { outcome: Outcome::Refused, ..put(0, 1) };
    assert_eq!(broken([refused, found(100, 1)]), [Broken::Denied]);
    assert_eq!(broken([put(0, 1), found(100, 7)]), [Broken::Unwritten]);
    assert_eq!(broken([found(0, 1), put(100, 1)]), [Broken::Unwritten]);
    assert_eq!(broken([op(0, What::Read, Outcome::Strange)]), [Broken::Strange]);
}

#[test]
fn what_happens_at_the_same_time_may_go_either_way() {
    let long = |of: Op| Op { end: of.end + 200 * MILLI, ..of };
    assert_eq!(broken([put(0, 1), long(put(100, 2)), found(150, 1)]), []);
    assert_eq!(broken([put(0, 1), long(put(100, 2)), found(150, 2), found(170, 2)]), []);
    assert_eq!(
        broken([put(0, 1), long(put(100, 2)), found(150, 2), found(170, 1)]),
        [Broken::Stale]
    );
    assert_eq!(broken([put(0, 1), long(delete(100)), absent(150)]), []);
    assert_eq!(broken([put(0, 1), long(absent(90)), delete(100)]), []);
}

#[test]
fn a_write_of_unknown_outcome_may_be_done_late_and_not_for_ever() {
    let late = [unknown(put(0, 1)), put(100, 2), found(200, 2), found(300, 1)];
    assert_eq!(broken(late), []);
    let gone = [put(0, 1), unknown(delete(100)), absent(5_000)];
    assert_eq!(broken(gone), []);
    let once = [unknown(put(0, 1)), found(50, 1), put(100, 2), found(300, 1)];
    assert_eq!(broken(once), [Broken::Stale]);
    let too_late = [unknown(put(0, 1)), put(10_100, 2), found(10_200, 1)];
    assert_eq!(broken(too_late), [Broken::Stale]);
    let long_ago = [unknown(delete(0)), put(10_100, 1), absent(10_200)];
    assert_eq!(broken(long_ago), [Broken::Lost]);
}

#[test]
fn a_crash_excuses_what_the_killed_node_had_and_nothing_else() {
    let ops = vec![put(0, 1), found(800, 1), absent(1_200)];
    assert_eq!(judged(ops.clone(), &crash(1_000, 0)), (vec![], vec![Excuse::Crashed(0)]));
    assert_eq!(judged(ops, &crash(1_000, 1)), (vec![Broken::Lost], vec![]));
    // What was written since.
    let ops = vec![put(0, 1), put(1_050, 2), absent(1_200)];
    assert_eq!(judged(ops, &crash(1_000, 0)).0, [Broken::Lost]);
    // What was read as absent before.
    let ops = vec![put(0, 1), absent(900)];
    assert_eq!(judged(ops, &crash(1_000, 0)).0, [Broken::Lost]);
}

#[test]
fn while_something_moves_a_crash_excuses_who_had_the_key_since_the_last_calm() {
    let moving = |node| ground(&[(3_000, Effect::Crashed(node))], &[0, 1_000]);
    let ops = |last| {
        vec![
            put(0, 1),
            found(900, 1),
            at_node(1, found(1_500, 1)),
            at_node(2, found(last, 1)),
            absent(3_100),
        ]
    };
    for node in [0, 1, 2] {
        let excused = judged(ops(2_900), &moving(node));
        assert_eq!(excused, (vec![], vec![Excuse::Crashed(node)]));
    }
    // Node 0 had it only before the calm in which node 1 was seen to have it.
    let later = ground(&[(3_000, Effect::Crashed(0))], &[0, 1_000, 2_000]);
    assert_eq!(judged(ops(2_900), &later).0, [Broken::Lost]);
    let unseen = vec![put(0, 1), found(900, 1), absent(3_100)];
    assert_eq!(judged(unseen, &moving(2)), (vec![], vec![Excuse::Unclear(2)]));
}

#[test]
fn what_a_stopped_node_had_may_be_absent_until_it_is_back() {
    let effects = [(1_000, Effect::Stopped(0)), (5_000, Effect::Resumed(0))];
    let ground = ground(&effects, &[0, 900, 7_000]);
    let ops = |at| vec![put(0, 1), found(900, 1), absent(at), found(8_000, 1)];
    assert_eq!(judged(ops(4_000), &ground), (vec![], vec![Excuse::Away(0)]));
    assert_eq!(judged(ops(6_000), &ground), (vec![], vec![Excuse::Away(0)]));
    assert_eq!(judged(ops(7_100), &ground).0, [Broken::Missed]);
    let at_the_last_moment = vec![put(0, 1), put(1_015, 2), absent(4_000)];
    assert_eq!(judged(at_the_last_moment, &ground), (vec![], vec![Excuse::Away(0)]));
    let of_another = vec![at_node(1, put(0, 1)), at_node(1, found(900, 1)), absent(4_000)];
    assert_eq!(judged(of_another, &ground).0, [Broken::Lost]);
    let stale = vec![put(0, 1), at_node(1, put(4_000, 2)), found(6_000, 1)];
    assert_eq!(judged(stale, &ground).0, [Broken::Stale]);
}

#[test]
fn a_split_excuses_what_one_side_does_not_know_until_it_is_healed() {
    let cuts = [(1_000, Effect::Cut(0, 1)), (1_000, Effect::Cut(0, 2))];
    let heals = [(5_000, Effect::Healed(0, 1)), (5_000, Effect::Healed(0, 2))];
    let ground = ground(&[cuts, heals].concat(), &[0, 900, 7_000]);
    let ops = |at| vec![put(0, 1), put(4_000, 2), found(at, 1)];
    assert_eq!(judged(ops(4_500), &ground), (vec![], vec![Excuse::Split]));
    assert_eq!(judged(ops(7_100), &ground).0, [Broken::Stale]);
    let gone = |at| vec![put(0, 1), absent(at)];
    assert_eq!(judged(gone(4_500), &ground), (vec![], vec![Excuse::Split]));
    assert_eq!(judged(gone(7_100), &ground).0, [Broken::Lost]);
}

#[test]
fn an_id_is_given_once_in_all_rounds() {
    let mut given = HashMap::new();
    let id = |at, id| op(at, What::NewId { n: at }, Outcome::Id(id));
    assert!(judge_ids(&[id(0, 1), id(1, 2)], &mut given).is_empty());
    let twice = judge_ids(&[id(2, 3), id(3, 1)], &mut given);
    assert_eq!(twice.len(), 1);
    assert_eq!((twice[0].broken, twice[0].about.as_ref().unwrap().begin), (Broken::IdTwice, 0));
}

#[test]
fn every_node_has_to_answer_at_the_end() {
    let silent = Op { outcome: Outcome::Unknown, ..found(0, 1) };
    let broken = judge_last(&[found(0, 1), absent(1), silent]);
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].broken, Broken::Unreadable);
}

#[test]
fn a_time_beyond_all_others_is_no_overflow() {
    let ground = ground(&[(1_000, Effect::Stopped(0))], &[0, 900]);
    assert_eq!(ground.aways[0].until, Time::MAX);
    let ops = vec![put(0, 1), absent(4_000)];
    assert_eq!(judged(ops, &ground).1, [Excuse::Away(0)]);
}

#[test]
fn what_went_down_with_a_node_wins_over_nothing_that_is_left() {
    let effects =
        [(1_000, Effect::Stopped(0)), (5_000, Effect::Crashed(1)), (6_000, Effect::Resumed(0))];
    let ground = ground(&effects, &[0, 900]);
    let ops = |second: Op| vec![put(0, 1), at_node(1, second), found(6_500, 1)];
    assert_eq!(judged(ops(put(4_900, 2)), &ground), (vec![], vec![Excuse::Crashed(1)]));
    // It was with a node that did not crash.
    let kept = vec![put(0, 1), at_node(2, put(4_900, 2)), found(6_500, 1)];
    assert_eq!(judged(kept, &ground).0, [Broken::Stale]);
    // It was there after the crash.
    let mut seen = ops(put(4_900, 2));
    seen.push(found(7_000, 2));
    assert_eq!(judged(seen, &ground).0, [Broken::Stale]);
}

#[test]
fn a_node_that_has_just_come_up_may_have_taken_what_another_was_seen_with() {
    let crash = |up| {
        let effects = [(100, Effect::Ended(1)), (up, Effect::Up(1)), (5_000, Effect::Crashed(1))];
        ground(&effects, &[0, 4_000])
    };
    let ops = || vec![put(0, 1), at_node(0, found(4_800, 1)), absent(6_000)];
    assert_eq!(judged(ops(), &crash(4_700)), (vec![], vec![Excuse::Unclear(1)]));
    assert_eq!(judged(ops(), &crash(200)).0, [Broken::Lost]);
}
