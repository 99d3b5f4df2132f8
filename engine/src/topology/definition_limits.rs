//! How many vhosts, queues and exchanges there may be in the whole broker (behaviour B61). Only
//! what is new is refused; what is there may be declared again.

use super::predeclared::is_reserved;
use super::{Change, Topology, TopologyError};

/// `None`: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefinitionLimits {
    pub vhosts: Option<u64>,
    pub queues: Option<u64>,
    /// Those that every vhost has count, too, but are never refused.
    pub exchanges: Option<u64>,
}

impl DefinitionLimits {
    /// Whether `change` may be made to `topology`, which has that many queues.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn check(
        &self,
        topology: &Topology,
        queues: u64,
        change: &Change,
    ) -> Result<(), TopologyError> {
        let reached = |limit: Option<u64>, count: u64| limit.filter(|limit| count >= *limit);
        match change {
            Change::PutVhost(vhost) if topology.vhost(&vhost.name).is_none() => {
                let count = topology.vhosts().count() as u64;
                reached(self.vhosts, count).map_or(Ok(()), |limit| {
                    Err(TopologyError::VhostLimit { name: vhost.name.clone(), limit })
                })
            }
            Change::PutQueue(queue) if topology.queue_by_id(queue.id).is_none() => {
                reached(self.queues, queues).map_or(Ok(()), |limit| {
                    Err(TopologyError::BrokerQueueLimit { name: queue.name.clone(), limit })
                })
            }
            Change::PutExchange(exchange) if self.exchanges.is_some() => {
                let (vhost, name) = (&exchange.vhost, &exchange.name);
                let comes_by_itself = name.is_empty() || is_reserved(name);
                if comes_by_itself || topology.exchange(vhost, name).is_some() {
                    return Ok(());
                }
                reached(self.exchanges, topology.exchange_count()).map_or(Ok(()), |limit| {
                    let (vhost, name) = (vhost.clone(), name.clone());
                    Err(TopologyError::ExchangeLimit { vhost, name, limit })
                })
            }
            _ => Ok(()),
        }
    }
}
