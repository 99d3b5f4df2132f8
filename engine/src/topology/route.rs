//! From exchange and key to queues.
//!
//! A publish to an exchange whose bindings lead to queues alone costs two map look-ups and what
//! its router costs. Exchanges that bindings or alternate exchanges lead to are walked in the
//! order they are reached, each once (behaviour B9, B10), so a cycle ends.

use super::replica::{ExchangeEntry, Topology, VhostEntry};
use super::{RouteError, Routes};

impl Topology {
    /// Routes one publish into `routes` (cleared first). `headers` are the octets of the header
    /// table's fields (without length prefix), read only if a headers exchange is on the way.
    /// Alternate exchanges and exchange-to-exchange bindings are followed, each exchange once.
    pub fn route(
        &self,
        vhost: &str,
        exchange: &[u8],
        routing_key: &[u8],
        headers: Option<&[u8]>,
        routes: &mut Routes,
    ) -> Result<(), RouteError> {
        self.route_many(vhost, exchange, &[routing_key], headers, routes)
    }

    /// As [`Topology::route`] with several keys (CC and BCC, behaviour B7): a queue that any of
    /// them leads to is there once.
    pub fn route_many(
        &self,
        vhost: &str,
        exchange: &[u8],
        keys: &[&[u8]],
        headers: Option<&[u8]>,
        routes: &mut Routes,
    ) -> Result<(), RouteError> {
        self.walk(vhost, exchange, keys, headers, routes, false)
    }

    /// As [`Topology::route_many`] on behalf of the broker itself, which may use internal
    /// exchanges (dead-lettering, behaviour A59).
    pub fn route_dead_letter(
        &self,
        vhost: &str,
        exchange: &[u8],
        keys: &[&[u8]],
        headers: Option<&[u8]>,
        routes: &mut Routes,
    ) -> Result<(), RouteError> {
        self.walk(vhost, exchange, keys, headers, routes, true)
    }

    fn walk(
        &self,
        vhost: &str,
        exchange: &[u8],
        keys: &[&[u8]],
        headers: Option<&[u8]>,
        routes: &mut Routes,
        internal_allowed: bool,
    ) -> Result<(), RouteError> {
        routes.clear();
        let vhost = self.vhost_entry(vhost).ok_or(RouteError::NoExchange)?;
        if exchange.is_empty() {
            route_by_name(vhost, keys, routes);
            routes.finish();
            return Ok(());
        }
        let &start = vhost.exchanges.get(exchange).ok_or(RouteError::NoExchange)?;
        let entry = self.exchange_at(start).ok_or(RouteError::NoExchange)?;
        if entry.exchange.internal && !internal_allowed {
            return Err(RouteError::Internal);
        }
        routes.exchanges.push(start);
        let mut next = 0;
        while let Some(&place) = routes.exchanges.get(next) {
            next += 1;
            if let Some(entry) = self.exchange_at(place) {
                visit(vhost, entry, keys, headers, routes);
            }
        }
        routes.finish();
        Ok(())
    }
}

/// The default exchange: each key is a queue's name.
fn route_by_name(vhost: &VhostEntry, keys: &[&[u8]], routes: &mut Routes) {
    for &key in keys {
        if let Some(entry) = vhost.queues.get(key) {
            routes.push(entry.queue.target());
        }
    }
}

/// What the bindings of one exchange lead to; its alternate exchange if none of them matches.
fn visit(
    vhost: &VhostEntry,
    entry: &ExchangeEntry,
    keys: &[&[u8]],
    headers: Option<&[u8]>,
    routes: &mut Routes,
) {
    if entry.exchange.name.is_empty() {
        // Reached as somebody's alternate exchange.
        return route_by_name(vhost, keys, routes);
    }
    let (targets, exchanges, lists, scratch) = routes.parts();
    let mut matched = false;
    entry.router.route(keys, headers, scratch, |found| {
        matched |= !found.is_empty();
        Routes::take(targets, exchanges, lists, found);
    });
    if matched {
        return;
    }
    let Some(alternate) = &entry.exchange.alternate_exchange else { return };
    if let Some(place) = vhost.exchanges.get(alternate.as_bytes()) {
        if !exchanges.contains(place) {
            exchanges.push(*place);
        }
    }
}
