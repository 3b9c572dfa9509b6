//! Plans of every policy, settings, and an evictor on a real cache.

use proptest::prelude::*;

use super::{Due, Eviction, EvictionError, EvictionStats, Evictor, Occupancy, POLICIES, Plan, Registered};
use crate::backend::reference::ReferenceBackend;
use crate::core::{AttentionParams, Backend, CoreError, DType, KvShape, OneSequence};

proptest! {
    #[test]
    fn every_policy_keeps_what_it_must_and_no_more_than_it_may(
        protected in 0usize..40, between in 1usize..200, beyond in 1usize..200,
    ) {
        let target = protected + between;
        let attention: Vec<f64> = (0..target + beyond).map(|slot| (slot * 7919 % 101) as f64).collect();
        let now = Occupancy { held: target + beyond, protected, target, attention: &attention };
        for policy in POLICIES {
            let plan = (policy.make)().plan(now);
            let mut end = 0;
            for (index, range) in plan.ranges().iter().enumerate() {
                prop_assert!(!range.is_empty() && (index == 0 || range.start > end), "{plan:?}");
                end = range.end;
            }
            let keeps = |slot| plan.ranges().iter().any(|range| range.contains(&slot));
            prop_assert_eq!(end, now.held, "the newest slot stays");
            prop_assert!((0..protected).all(keeps), "{} {plan:?}", policy.name);
            prop_assert!(plan.kept() <= target && plan.kept() > protected, "{} {plan:?}", policy.name);
        }
    }

    #[test]
    fn settings_that_are_accepted_always_make_room(
        window in 0usize..600, protected in 0usize..100, ratio in -0.2f64..1.2,
    ) {
        match Eviction::new(&POLICIES[0], window, protected, ratio) {
            Ok(e) => prop_assert!(e.protected() < e.target() && e.target() < e.window()),
            Err(EvictionError::Ratio { .. }) => prop_assert!(ratio <= 0.0 || ratio >= 1.0),
            Err(EvictionError::Window { target, .. }) => prop_assert!(target <= protected),
        }
    }
}

#[test]
fn sliding_keeps_the_first_and_the_last() {
    let plan = |held, protected, target| {
        let policy = (Registered::named("Sliding").expect("is registered").make)();
        policy.plan(Occupancy { held, protected, target, attention: &[] }).ranges().to_vec()
    };
    assert_eq!(plan(16, 4, 12), [0..4, 8..16]);
    assert_eq!(plan(16, 0, 12), std::slice::from_ref(&(4..16)));
    assert_eq!(plan(16, 4, 15), [0..4, 5..16]);
    assert!(Registered::named("fifo").is_none());
}

#[test]
fn h2o_keeps_the_heavy_hitters_and_the_newest() {
    let plan = |attention: &[f64], protected, target| {
        let policy = (Registered::named("h2o").expect("is registered").make)();
        let now = Occupancy { held: attention.len(), protected, target, attention };
        policy.plan(now).ranges().to_vec()
    };
    let attention = [9.0, 0.5, 3.0, 0.1, 4.0, 0.2, 5.0, 0.3, 9.0, 0.0];
    // Six besides the protected one: the newest three, and of 1 to 6 the three with the most.
    assert_eq!(plan(&attention, 1, 7), [0..1, 2..3, 4..5, 6..10]);
    assert_eq!(plan(&attention, 0, 3), [0..1, 8..10]);
    assert_eq!(plan(&[1.0; 10], 1, 4), [0..1, 7..10]);
    assert_eq!(plan(&[f64::NAN; 10], 2, 6).iter().map(ExactSizeIterator::len).sum::<usize>(), 6);
}

#[test]
fn a_plan_is_ascending_and_joined_whatever_is_asked_of_it() {
    let plan = Plan::new().keep(2..5).keep(5..7).keep(6..6).keep(0..3).keep(9..12).keep(10..14);
    assert_eq!(plan.ranges(), [2..7, 9..14]);
    assert_eq!(plan.kept(), 10);
}

#[test]
fn numbers_that_are_not_numbers_are_refused() {
    let make = |ratio| Eviction::new(&POLICIES[0], 64, 4, ratio).map(|e| e.target());
    assert!(make(f64::NAN).is_err() && make(f64::INFINITY).is_err() && make(1.0).is_err());
    assert_eq!(make(0.75), Ok(48));
    assert_eq!(make(0.07), Err(EvictionError::Window { window: 64, target: 4, protected: 4 }));
    assert_eq!(make(f64::from_bits(1.0f64.to_bits() - 1)), Ok(63));
}

const SHAPE: KvShape = KvShape { kv_heads: 1, head_dim: 2, window: None };

/// A cache of one layer whose key in each slot is the position of its token.
struct Numbered {
    cache: OneSequence<<ReferenceBackend as Backend>::Buffer>,
}

impl Numbered {
    fn new(max_len: usize) -> Self {
        Self {
            cache: OneSequence::new(&ReferenceBackend, &[SHAPE; 2], DType::F32.into(), max_len)
                .expect("f32 is stored"),
        }
    }

    fn take(&mut self, tokens: usize) {
        let (b, cache) = (&ReferenceBackend, &mut self.cache);
        cache.reserve(b, tokens).expect("there is room");
        let (at, first) = (cache.len(), cache.position());
        let mut rows = b.tensor(tokens, 2).expect("small");
        let values: Vec<f32> = (0..tokens).flat_map(|i| [(first + i) as f32; 2]).collect();
        rows.set_rows(tokens).expect("as many as it has");
        b.upload(&values, &mut rows, 0).expect("fits");
        for layer in 0..2 {
            cache.append(b, layer, (&rows, &rows), at).expect("fits");
        }
        cache.advance(tokens);
    }

    /// Evicts what is due, and gives the tokens that fit then and where the first ones stand, if they move.
    fn make_room(&mut self, evictor: &mut Evictor) -> (usize, Option<usize>) {
        let mut moved_to = None;
        if let Some(Due { plan, room, turns_prefix }) = evictor.due(self.cache.len(), 0, &[]).unwrap() {
            self.cache.retain(&ReferenceBackend, plan.ranges(), room).unwrap();
            moved_to = turns_prefix.then(|| self.cache.position() - plan.kept());
        }
        (evictor.room(self.cache.len()), moved_to)
    }

    /// The value of each slot, seen through attention: with a query of zeros, what slot `s` adds to the mean.
    fn positions(&self, layer: usize) -> Vec<usize> {
        let b = &ReferenceBackend;
        let mut query = b.tensor(1, 2).expect("small");
        query.set_rows(1).expect("one");
        let mut out = b.tensor(1, 2).expect("small");
        let mut sum = 0.0;
        (0..self.cache.len())
            .map(|slot| {
                let cache = &self.cache;
                let how = AttentionParams::of_head_dim(2);
                cache.attend(b, layer, &query, &how, slot, &mut out).expect("fits");
                let mut mean = [0.0; 2];
                b.download(&out, 0, &mut mean).expect("fits");
                let all = f64::from(mean[0]) * (slot + 1) as f64;
                let value = all - sum;
                sum = all;
                value.round() as usize
            })
            .collect()
    }
}

#[test]
fn retaining_moves_slots_together_and_gives_memory_back() {
    let mut n = Numbered::new(1000);
    n.take(700);
    let before = n.cache.size_bytes();
    // In place: the same capacity.
    n.cache.retain(&ReferenceBackend, &[0..4, 300..700], 364).unwrap();
    assert_eq!((n.cache.len(), n.cache.position(), n.cache.size_bytes()), (404, 700, before));
    let held: Vec<usize> = (0..4).chain(300..700).collect();
    assert_eq!((n.positions(0), n.positions(1)), (held.clone(), held));
    n.take(1);
    n.cache.retain(&ReferenceBackend, &[1..2, 390..405], 0).unwrap();
    assert_eq!((n.cache.len(), n.cache.position(), n.cache.pool.whole_capacity()), (16, 701, 256));
    assert_eq!(n.cache.size_bytes(), before / 3);
    let held: Vec<usize> = std::iter::once(1).chain(686..701).collect();
    assert_eq!((n.positions(0), n.positions(1)), (held.clone(), held));
    n.cache.rewind(699);
    assert_eq!((n.cache.len(), n.cache.position()), (14, 699));
}

#[test]
fn ranges_that_are_no_plan_are_refused_and_change_nothing() {
    let mut n = Numbered::new(300);
    n.take(10);
    for keep in [
        vec![0..4, 5..11],
        vec![3..5, 4..6],
        vec![5..6, 0..1],
        vec![0..1, std::ops::Range { start: 4, end: 2 }],
    ] {
        let error = n.cache.retain(&ReferenceBackend, &keep, 0).unwrap_err();
        assert!(matches!(error, CoreError::Mismatch { .. }), "{error}");
    }
    let error = n.cache.retain(&ReferenceBackend, &[0..3, 3..10], 291).unwrap_err();
    assert!(matches!(error, CoreError::CacheFull { len: 10, max: 300, more: 291 }), "{error}");
    assert_eq!((n.cache.len(), n.positions(1)), (10, (0..10).collect()));
}

#[test]
fn an_evictor_evicts_in_steps_when_the_window_is_full() {
    let mut n = Numbered::new(32);
    let mut evictor = Evictor::new(Eviction::new(&POLICIES[0], 32, 4, 0.75).unwrap());
    for position in 0..100 {
        let room = n.make_room(&mut evictor);
        assert_eq!(room, (32 - n.cache.len(), None));
        n.take(1);
        assert_eq!(n.cache.position(), position + 1);
    }
    // Full at 32, then again every 8 tokens.
    assert_eq!((evictor.stats().evictions, evictor.stats().evicted), (9, 72));
    assert_eq!(n.positions(1), (0..4).chain(76..100).collect::<Vec<_>>());
    evictor.restart();
    assert_eq!(evictor.stats().evictions, 0);
}

#[test]
fn short_memory_makes_the_window_smaller_until_there_is_enough() {
    let mut n = Numbered::new(1024);
    let mut evictor = Evictor::new(Eviction::new(&POLICIES[0], 1024, 4, 0.75).unwrap());
    let mut make_room = |n: &mut Numbered, short| {
        evictor.hear_of_memory(n.cache.len(), 256, short);
        (n.make_room(&mut evictor).0, evictor.stats())
    };
    n.take(1000);
    let whole = n.cache.size_bytes();
    let stats = |evictions, evicted, for_memory| EvictionStats { evictions, evicted, for_memory };
    assert_eq!(make_room(&mut n, Some(false)), (24, stats(0, 0, 0)));
    // 750 slots would be left: two steps of 256, of which an eviction leaves three quarters.
    assert_eq!(make_room(&mut n, Some(true)), (512 - 384, stats(1, 616, 1)));
    assert_eq!((n.cache.len(), n.cache.size_bytes()), (384, whole / 2));
    // It stays small, and evicts as the small window says, until it is asked again.
    n.take(128);
    assert_eq!(make_room(&mut n, None), (128, stats(2, 744, 2)));
    assert_eq!(make_room(&mut n, Some(true)), (256 - 192, stats(3, 936, 3)));
    assert_eq!((n.cache.len(), n.cache.size_bytes()), (192, whole / 4));
    assert_eq!(make_room(&mut n, Some(true)), (64, stats(3, 936, 3)), "that is the least");
    assert_eq!(make_room(&mut n, Some(false)), (1024 - 192, stats(3, 936, 3)));
    assert_eq!(n.positions(1), (0..4).chain(1128 - 188..1128).collect::<Vec<_>>());
}

#[test]
fn what_is_protected_stays_however_short_memory_is() {
    let mut n = Numbered::new(1024);
    let mut evictor = Evictor::new(Eviction::new(&POLICIES[0], 1024, 500, 0.75).unwrap());
    n.take(1000);
    evictor.hear_of_memory(n.cache.len(), 256, Some(true));
    assert_eq!((n.make_room(&mut evictor).0, evictor.stats()), (24, EvictionStats::default()));
    // A cache that could still grow does not.
    let mut n = Numbered::new(1024);
    n.take(700);
    evictor.hear_of_memory(n.cache.len(), 256, Some(true));
    assert_eq!((n.make_room(&mut evictor).0, evictor.stats()), (68, EvictionStats::default()));
}

#[test]
fn sinks_move_up_to_the_oldest_of_the_others() {
    let mut n = Numbered::new(32);
    let streaming = Registered::named("streaming").expect("is registered");
    let mut evictor = Evictor::new(Eviction::new(streaming, 32, 4, 0.75).unwrap());
    for position in 0..100 {
        let (_, moved_to) = n.make_room(&mut evictor);
        // Evictions come at 32, 40, ...: the newest 20 stay, and the four stand before them.
        let evicts = position >= 32 && position % 8 == 0;
        assert_eq!(moved_to, evicts.then(|| position - 20 - 4), "{position}");
        n.take(1);
    }
    assert_eq!(n.positions(1), (0..4).chain(76..100).collect::<Vec<_>>());
}
