//! From exchange and key to queues.
//!
//! A publish to an exchange whose bindings lead to queues alone costs two map look-ups and what
//! its router costs. Exchanges that bindings or alternate exchanges lead to are walked in the
//! order they are reached, each once (behaviour B9, B10), so a cycle ends.

use super::replica::{ExchangeEntry, Topology, VhostEntry};
use super::store::Keeping;
use super::{MissingExchange, NamedBy, RouteError, Routes};
use crate::routing::Subject;

/// Who sends a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Client,
    /// May use internal exchanges.
    Broker,
    /// The exchange has kept it until now.
    Store,
}

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
        let subject = Subject { keys: &[routing_key], headers, properties: &[] };
        self.route_many(vhost, exchange, &subject, routes)
    }

    /// As [`Topology::route`] by whatever a message has; of several keys (CC and BCC, behaviour
    /// B7) a queue that any of them leads to is there once.
    pub fn route_many(
        &self,
        vhost: &str,
        exchange: &[u8],
        subject: &Subject<'_>,
        routes: &mut Routes,
    ) -> Result<(), RouteError> {
        self.walk(vhost, exchange, subject, routes, Origin::Client)
    }

    /// As [`Topology::route_many`] on behalf of the broker itself, which may use internal
    /// exchanges (dead-lettering, behaviour A59).
    pub fn route_dead_letter(
        &self,
        vhost: &str,
        exchange: &[u8],
        subject: &Subject<'_>,
        routes: &mut Routes,
    ) -> Result<(), RouteError> {
        self.walk(vhost, exchange, subject, routes, Origin::Broker)
    }

    /// As [`Topology::route_dead_letter`], for a message that the exchange has kept and that goes
    /// on from there.
    pub fn route_onward(
        &self,
        vhost: &str,
        exchange: &[u8],
        subject: &Subject<'_>,
        routes: &mut Routes,
    ) -> Result<(), RouteError> {
        self.walk(vhost, exchange, subject, routes, Origin::Store)
    }

    /// The alternate exchange that the one at `place` names, if it is not there; `place` is what
    /// [`Routes::missing_alternate`] says.
    pub fn missing_alternate(&self, place: u32) -> Option<MissingExchange> {
        let entry = self.exchange_at(place)?;
        let (vhost, exchange) = (&entry.exchange.vhost, entry.alternate.as_ref()?);
        let is_there = self.exchange(vhost, exchange).is_some();
        (!is_there).then(|| MissingExchange {
            vhost: vhost.clone(),
            exchange: exchange.clone(),
            named_by: NamedBy::Exchange(entry.exchange.name.clone()),
        })
    }

    fn walk(
        &self,
        vhost: &str,
        exchange: &[u8],
        subject: &Subject<'_>,
        routes: &mut Routes,
        origin: Origin,
    ) -> Result<(), RouteError> {
        routes.clear();
        let vhost = self.vhost_entry(vhost).ok_or(RouteError::NoExchange)?;
        if exchange.is_empty() {
            route_by_name(vhost, subject.keys, routes);
            routes.finish();
            return Ok(());
        }
        let &start = vhost.exchanges.get(exchange).ok_or(RouteError::NoExchange)?;
        let entry = self.exchange_at(start).ok_or(RouteError::NoExchange)?;
        if entry.exchange.internal && origin == Origin::Client {
            return Err(RouteError::Internal);
        }
        routes.exchanges.push(start);
        let mut next = 0;
        while let Some(&place) = routes.exchanges.get(next) {
            let keeps = next > 0 || origin != Origin::Store;
            next += 1;
            if let Some(entry) = self.exchange_at(place) {
                visit(vhost, (place, entry), subject, routes, keeps);
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

/// What the bindings of one exchange lead to; its alternate exchange if none of them matches. One
/// that `keeps` messages may take this one first.
fn visit(
    vhost: &VhostEntry,
    (place, entry): (u32, &ExchangeEntry),
    subject: &Subject<'_>,
    routes: &mut Routes,
    keeps: bool,
) {
    if entry.exchange.name.is_empty() {
        // Reached as somebody's alternate exchange.
        return route_by_name(vhost, subject.keys, routes);
    }
    match entry.exchange.keeping(subject) {
        _ if !keeps => {}
        Keeping::No => {}
        Keeping::Copy(store) => {
            routes.copies += 1;
            routes.push(store);
        }
        Keeping::Whole(store) => {
            routes.is_held = true;
            return routes.push(store);
        }
    }
    routes.is_repeatable &= entry.router.is_repeatable();
    let (targets, exchanges, lists, scratch) = routes.parts();
    let mut matched = false;
    entry.router.route(subject, scratch, |found| {
        matched |= !found.is_empty();
        Routes::take(targets, exchanges, lists, found);
    });
    if matched {
        return;
    }
    let Some(alternate) = &entry.alternate else { return };
    match vhost.exchanges.get(alternate.as_bytes()) {
        Some(place) if exchanges.contains(place) => {}
        Some(place) => exchanges.push(*place),
        None => routes.missing_alternate = Some(place),
    }
}
