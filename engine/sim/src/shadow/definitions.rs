//! Durable exchanges, users and bindings: what was answered for is there after any crash.

use std::collections::BTreeMap;

use haremq_engine::topology::Topology;

use crate::violation::{broken, Kind, Verdict};

/// A definition that a schedule makes and removes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    Exchange {
        name: String,
        durable: bool,
    },
    User(String),
    /// Of a queue to a predeclared exchange, with that key.
    Binding {
        queue: String,
        key: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// As the last answer said.
    is_there: bool,
    /// Changes that have been asked for and not answered.
    under_way: u32,
}

pub const VHOST: &str = "/";
/// The exchange of the bindings.
pub const SOURCE: &str = "amq.direct";

#[derive(Clone, Debug, Default)]
pub struct Definitions {
    known: BTreeMap<Entity, Known>,
}

impl Entity {
    fn is_in(&self, topology: &Topology) -> bool {
        match self {
            Entity::Exchange { name, .. } => topology.exchange(VHOST, name).is_some(),
            Entity::User(name) => topology.user(name).is_some(),
            Entity::Binding { queue, key } => {
                let target = haremq_engine::topology::BindingTarget::Queue(queue.as_str().into());
                let bindings = topology.bindings_to(VHOST, &target);
                bindings
                    .iter()
                    .any(|binding| &*binding.source == SOURCE && &*binding.key == key.as_str())
            }
        }
    }
}

impl Definitions {
    pub fn asked(&mut self, entity: &Entity) {
        let unknown = Known { is_there: false, under_way: 0 };
        self.known.entry(entity.clone()).or_insert(unknown).under_way += 1;
    }

    pub fn answered(&mut self, entity: &Entity, is_there: bool) {
        if let Some(known) = self.known.get_mut(entity) {
            known.under_way = known.under_way.saturating_sub(1);
            known.is_there = is_there;
        }
    }

    pub fn is_there(&self, entity: &Entity) -> bool {
        self.known.get(entity).is_some_and(|known| known.is_there)
    }

    /// A queue takes its bindings with it.
    pub fn queue_gone(&mut self, name: &str) {
        self.known
            .retain(|entity, _| !matches!(entity, Entity::Binding { queue, .. } if queue == name));
    }

    /// The power went and came. What was under way has happened or not; the rest is certain.
    pub fn crashed(&mut self, topology: &Topology) -> Verdict {
        for (entity, known) in &mut self.known {
            let is_there = entity.is_in(topology);
            let is_lasting = !matches!(entity, Entity::Exchange { durable: false, .. });
            let expected = known.is_there && is_lasting;
            if known.under_way == 0 && is_there != expected {
                let text = format!("{entity:?} is there: {is_there}, expected: {expected}");
                return broken(Kind::Definition, text);
            }
            *known = Known { is_there, under_way: 0 };
        }
        Ok(())
    }
}
