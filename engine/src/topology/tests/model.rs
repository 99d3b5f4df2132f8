//! Random requests against a model that keeps plain lists and scans them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Queue { name: u8, exclusive_to: Option<u64>, durable: bool },
    DropQueue(u8),
    Exchange { name: u8, kind: u8, auto_delete: bool, alternate: Option<u8> },
    DeleteExchange { name: u8, if_unused: bool },
    Bind { source: u8, target: BoundTo, key: u8 },
    Unbind { source: u8, target: BoundTo, key: u8 },
    DropConnection(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BoundTo {
    Queue(u8),
    Exchange(u8),
}

const KINDS: [&str; 3] = ["direct", "fanout", "topic"];
const KEYS: [&str; 5] = ["", "a", "a.b", "*", "#"];
const EXCHANGES: [&str; 4] = ["x0", "x1", "x2", "x3"];

fn step() -> impl Strategy<Value = Step> {
    let queue = 0u8..5;
    let exchange = 0u8..4;
    let target = prop_oneof![
        queue.clone().prop_map(BoundTo::Queue),
        exchange.clone().prop_map(BoundTo::Exchange)
    ];
    let binding = (exchange.clone(), target, 0u8..5);
    prop_oneof![
        3 => (queue.clone(), prop::option::of(1u64..3), any::<bool>())
            .prop_map(|(name, exclusive_to, durable)| Step::Queue { name, exclusive_to, durable }),
        1 => queue.prop_map(Step::DropQueue),
        3 => (exchange.clone(), 0u8..3, any::<bool>(), prop::option::of(exchange.clone()))
            .prop_map(|(name, kind, auto_delete, alternate)| {
                Step::Exchange { name, kind, auto_delete, alternate }
            }),
        1 => (exchange, any::<bool>())
            .prop_map(|(name, if_unused)| Step::DeleteExchange { name, if_unused }),
        6 => binding.clone().prop_map(|(source, target, key)| Step::Bind { source, target, key }),
        3 => binding.prop_map(|(source, target, key)| Step::Unbind { source, target, key }),
        1 => (1u64..3).prop_map(Step::DropConnection),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct ModelExchange {
    kind: u8,
    auto_delete: bool,
    alternate: Option<u8>,
}

#[derive(Default)]
struct Model {
    queues: BTreeMap<u8, Option<u64>>,
    exchanges: BTreeMap<u8, ModelExchange>,
    bindings: BTreeSet<(u8, BoundTo, u8)>,
}

impl Model {
    fn drop_queue(&mut self, name: u8) {
        self.queues.remove(&name);
        self.sweep(|b| b.1 == BoundTo::Queue(name));
    }

    /// Removes bindings, and again and again what follows.
    fn sweep(&mut self, gone: impl Fn(&(u8, BoundTo, u8)) -> bool) {
        let mut sources: BTreeSet<u8> =
            self.bindings.iter().filter(|b| gone(b)).map(|b| b.0).collect();
        self.bindings.retain(|b| !gone(b));
        while let Some(source) = sources.pop_first() {
            let auto_delete = self.exchanges.get(&source).is_some_and(|x| x.auto_delete);
            if auto_delete && !self.bindings.iter().any(|b| b.0 == source) {
                self.exchanges.remove(&source);
                let incoming = |b: &&(u8, BoundTo, u8)| b.1 == BoundTo::Exchange(source);
                sources.extend(self.bindings.iter().filter(incoming).map(|b| b.0));
                self.bindings.retain(|b| b.1 != BoundTo::Exchange(source));
            }
        }
    }

    fn has(&self, target: BoundTo) -> bool {
        match target {
            BoundTo::Queue(name) => self.queues.contains_key(&name),
            BoundTo::Exchange(name) => self.exchanges.contains_key(&name),
        }
    }

    /// True: accepted.
    fn step(&mut self, step: &Step) -> bool {
        match *step {
            Step::Queue { name, exclusive_to, .. } => match self.queues.get(&name) {
                Some(current) => return *current == exclusive_to,
                None => {
                    self.queues.insert(name, exclusive_to);
                }
            },
            Step::DropQueue(name) => self.drop_queue(name),
            Step::Exchange { name, kind, auto_delete, alternate } => {
                let new = ModelExchange { kind, auto_delete, alternate };
                return *self.exchanges.entry(name).or_insert_with(|| new.clone()) == new;
            }
            Step::DeleteExchange { name, if_unused } => {
                if self.exchanges.contains_key(&name) {
                    if if_unused && self.bindings.iter().any(|b| b.0 == name) {
                        return false;
                    }
                    self.exchanges.remove(&name);
                    self.bindings.retain(|b| b.0 != name);
                    self.sweep(|b| b.1 == BoundTo::Exchange(name));
                }
            }
            Step::Bind { source, target, key } => {
                if !self.exchanges.contains_key(&source) || !self.has(target) || self.locked(target)
                {
                    return false;
                }
                self.bindings.insert((source, target, key));
            }
            Step::Unbind { source, target, key } => {
                let binding = (source, target, key);
                if self.bindings.contains(&binding) {
                    if self.locked(target) {
                        return false;
                    }
                    self.sweep(|b| *b == binding);
                }
            }
            Step::DropConnection(connection) => {
                let gone: Vec<u8> = self
                    .queues
                    .iter()
                    .filter(|(_, owner)| **owner == Some(connection))
                    .map(|(name, _)| *name)
                    .collect();
                for name in gone {
                    self.drop_queue(name);
                }
            }
        }
        true
    }

    /// Bindings are made by connection 1.
    fn locked(&self, target: BoundTo) -> bool {
        matches!(target, BoundTo::Queue(name) if self.queues.get(&name) == Some(&Some(2)))
    }

    fn routed(&self, exchange: u8, key: &str) -> Vec<String> {
        let (mut reached, mut queues) = (vec![exchange], BTreeSet::new());
        let mut at = 0;
        while at < reached.len() {
            let source = reached[at];
            at += 1;
            let Some(entry) = self.exchanges.get(&source) else { continue };
            let matching = self.bindings.iter().filter(|b| {
                let pattern = KEYS[usize::from(b.2)];
                b.0 == source
                    && match entry.kind {
                        0 => pattern == key,
                        1 => true,
                        _ => topic(pattern, key),
                    }
            });
            let mut next: Vec<BoundTo> = matching.map(|b| b.1).collect();
            if next.is_empty() {
                next.extend(entry.alternate.map(BoundTo::Exchange));
            }
            for target in next {
                match target {
                    BoundTo::Queue(name) => {
                        queues.insert(format!("q{name}"));
                    }
                    BoundTo::Exchange(name) if !reached.contains(&name) => reached.push(name),
                    BoundTo::Exchange(_) => {}
                }
            }
        }
        queues.into_iter().collect()
    }
}

/// Of the few patterns and keys used here.
fn topic(pattern: &str, key: &str) -> bool {
    match pattern {
        "#" => true,
        "*" => !key.is_empty() && !key.contains('.'),
        other => other == key,
    }
}

fn request(world: &World, step: &Step) -> TopologyRequest {
    let target = |target: BoundTo| match target {
        BoundTo::Queue(name) => to_queue(&format!("q{name}")),
        BoundTo::Exchange(name) => to_exchange(EXCHANGES[usize::from(name)]),
    };
    match *step {
        Step::Queue { name, exclusive_to, durable } => {
            let mut spec = queue(&format!("q{name}"));
            spec.exclusive_to = exclusive_to;
            // Flags follow from the name, so that redeclaring differs in the owner alone.
            spec.durable = durable && exclusive_to.is_some();
            spec.declare()
        }
        Step::DropQueue(name) => {
            let there = world.topology.queue(VHOST, &format!("q{name}"));
            TopologyRequest::DropQueue { id: there.map_or(QueueId(0), |queue| queue.id) }
        }
        Step::Exchange { name, kind, auto_delete, alternate } => {
            let mut spec = exchange(EXCHANGES[usize::from(name)], KINDS[usize::from(kind)]);
            spec.auto_delete = auto_delete;
            if let Some(alternate) = alternate {
                spec = spec.alternate(EXCHANGES[usize::from(alternate)]);
            }
            spec.declare()
        }
        Step::DeleteExchange { name, if_unused } => {
            delete_exchange(EXCHANGES[usize::from(name)], if_unused)
        }
        Step::Bind { source, target: t, key } => {
            bind(EXCHANGES[usize::from(source)], target(t), KEYS[usize::from(key)])
        }
        Step::Unbind { source, target: t, key } => {
            unbind(EXCHANGES[usize::from(source)], target(t), KEYS[usize::from(key)])
        }
        Step::DropConnection(serial) => {
            TopologyRequest::DropConnection { connection: connection(serial) }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_replica_routes_like_the_model_after_any_requests(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut world = World::new();
        let mut follower = Topology::new();
        for change in Topology::first_boot([1, 2, 3][..].into()) {
            follower.apply(&change);
        }
        let mut model = Model::default();
        for step in &steps {
            let answer = world.ask(request(&world, step));
            let accepted = model.step(step);
            prop_assert_eq!(answer.is_ok(), accepted, "{:?} answered {:?}", step, answer);
            for change in answer.into_iter().flatten() {
                follower.apply(&change);
            }
        }
        for name in 0..4u8 {
            let text = EXCHANGES[usize::from(name)];
            prop_assert_eq!(world.has_exchange(text), model.exchanges.contains_key(&name));
            if world.has_exchange(text) {
                for key in ["", "a", "a.b", "b", "a.b.c"] {
                    let routed = world.routed(text, key);
                    prop_assert_eq!(routed, model.routed(name, key), "{} {:?}", text, key);
                }
            }
        }
        let snapshot = world.topology.snapshot();
        prop_assert_eq!(follower.snapshot(), snapshot.clone());
        let mut rebuilt = Topology::new();
        for change in &snapshot {
            rebuilt.apply(change);
        }
        prop_assert_eq!(rebuilt.snapshot(), snapshot);
    }

    #[test]
    fn applying_changes_in_any_order_leaves_no_loose_ends(
        steps in prop::collection::vec(step(), 1..40),
        order in any::<u64>(),
    ) {
        let mut world = World::new();
        let mut changes = Vec::new();
        for step in &steps {
            changes.extend(world.ask(request(&world, step)).into_iter().flatten());
        }
        // A cheap shuffle: the outcome is arbitrary, what counts is that it is sound.
        let mut state = order | 1;
        changes.sort_by_cached_key(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 32
        });
        let mut topology = Topology::new();
        for change in Topology::first_boot([1, 2, 3][..].into()).iter().chain(&changes) {
            topology.apply(change);
        }
        for binding in topology.bindings(VHOST) {
            prop_assert!(topology.exchange(VHOST, &binding.source).is_some());
            let target = match &binding.target {
                BindingTarget::Queue(name) => topology.queue(VHOST, name).is_some(),
                BindingTarget::Exchange(name) => topology.exchange(VHOST, name).is_some(),
            };
            prop_assert!(target, "{:?}", binding);
        }
        let mut routes = Routes::default();
        for name in EXCHANGES {
            for key in KEYS {
                let key = key.as_bytes();
                let _ = topology.route(VHOST, name.as_bytes(), key, None, &mut routes);
                for target in &routes.targets {
                    let queue = topology.queue_by_id(target.queue);
                    prop_assert_eq!(queue.map(|queue| queue.target()), Some(*target));
                }
            }
        }
        let snapshot = topology.snapshot();
        let mut rebuilt = Topology::new();
        for change in &snapshot {
            rebuilt.apply(change);
        }
        prop_assert_eq!(rebuilt.snapshot(), snapshot);
    }
}
