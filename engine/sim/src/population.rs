//! Queues, estates and definitions that a schedule works with, and how they are asked for.

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, QueueId, ShardId};
use haremq_engine::mail::{PeerMail, Requester};
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::{BindingTarget, TopologyRequest};

use crate::clients::Asked;
use crate::mail::Mail;
use crate::random::Random;
use crate::shadow::{Entity, Estate, QueueSpec, SOURCE, VHOST};
use crate::simulation::Simulation;
use crate::violation::{broken, Kind, Verdict};

/// How a queue of an estate lets messages go, beside rejections.
#[derive(Clone, Copy, Debug)]
enum End {
    Rejection,
    Ttl(i64),
    Length(i64),
    LengthRefusing(i64),
    Returns(i64),
}

fn field(name: &str, value: i64) -> (Box<str>, Value) {
    (name.into(), Value::I64(value))
}

/// A plain queue, as the seed has it.
pub fn draw_queue(number: u64, random: &mut Random) -> QueueSpec {
    let is_bounded = random.one_in(6);
    QueueSpec {
        name: format!("q{number}"),
        durable: !random.one_in(5),
        max_priority: if random.one_in(5) { 1 + random.below(4) as u8 } else { 0 },
        ttl_ms: random.one_in(6).then(|| 1 + random.below(200) as u64),
        max_length: is_bounded.then(|| 1 + random.below(20) as u64),
        refuses: is_bounded && random.one_in(2),
    }
}

fn declare(name: &str, durable: bool, fields: Vec<(Box<str>, Value)>) -> TopologyRequest {
    TopologyRequest::DeclareQueue {
        vhost: VHOST.into(),
        name: name.into(),
        durable,
        auto_delete: false,
        exclusive_to: None,
        connection: None,
        arguments: Arc::new(Table(fields)),
    }
}

fn declare_plain(spec: &QueueSpec) -> TopologyRequest {
    let mut fields = Vec::new();
    if spec.max_priority > 0 {
        fields.push(field("x-max-priority", i64::from(spec.max_priority)));
    }
    fields.extend(spec.ttl_ms.map(|ttl| field("x-message-ttl", ttl as i64)));
    fields.extend(spec.max_length.map(|max| field("x-max-length", max as i64)));
    if spec.refuses {
        fields.push(("x-overflow".into(), Value::text("reject-publish")));
    }
    declare(&spec.name, spec.durable, fields)
}

fn declare_mortal(name: &str, heir: &str, end: End) -> TopologyRequest {
    let mut fields: Vec<(Box<str>, Value)> = vec![
        ("x-dead-letter-exchange".into(), Value::text("")),
        ("x-dead-letter-routing-key".into(), Value::text(heir)),
    ];
    match end {
        End::Rejection => {}
        End::Ttl(ms) => fields.push(field("x-message-ttl", ms)),
        End::Length(max) => fields.push(field("x-max-length", max)),
        End::LengthRefusing(max) => {
            fields.push(field("x-max-length", max));
            fields.push(("x-overflow".into(), Value::text("reject-publish-dlx")));
        }
        End::Returns(limit) => fields.push(field("x-delivery-limit", limit)),
    }
    declare(name, true, fields)
}

impl Simulation {
    /// To the topology writer, in the name of the admin of some shard.
    fn ask(&mut self, asked: Asked, request: TopologyRequest) -> Verdict {
        let home = self.random.below(self.world.count());
        self.clients.asked[home].push_back(asked);
        let from = Requester::Channel(self.clients.admin(home));
        self.send(home, 0, Mail::Peer(PeerMail::Request { from, request }))
    }

    pub fn declare_queue(&mut self) -> Verdict {
        let number = self.clients.next_number();
        let spec = draw_queue(number, &mut self.random);
        let request = declare_plain(&spec);
        self.ask(Asked::Queue(spec), request)
    }

    /// Makes or removes an exchange, a user or a binding.
    pub fn change_definition(&mut self) -> Verdict {
        let entity = self.draw_entity();
        let puts = !self.shadow.definitions.is_there(&entity) || self.random.one_in(4);
        let request = definition_request(&entity, puts);
        self.shadow.definitions.asked(&entity);
        self.ask(Asked::Entity { entity, puts }, request)
    }

    fn draw_entity(&mut self) -> Entity {
        let number = self.random.below(4);
        let queues: Vec<String> =
            self.shadow.queues.values().map(|queue| queue.spec.name.clone()).collect();
        match self.random.below(3) {
            0 if !queues.is_empty() => {
                let queue = queues[self.random.below(queues.len())].clone();
                Entity::Binding { queue, key: format!("k{}", number % 2) }
            }
            1 => Entity::User(format!("u{number}")),
            _ => Entity::Exchange { name: format!("x{number}"), durable: number > 0 },
        }
    }

    /// The estates, before anything else happens.
    pub fn found_estates(&mut self) -> Verdict {
        for number in 0..self.random.below(3) {
            self.found_estate(number)?;
        }
        Ok(())
    }

    fn found_estate(&mut self, number: usize) -> Verdict {
        let length = 2 + self.random.below(2);
        let home = self.random.below(self.world.count());
        let stays = self.random.one_in(2);
        let names: Vec<String> = (0..length).map(|at| format!("e{number}.{at}")).collect();
        let mut queues = Vec::new();
        let mut buries_refused = false;
        // The heir first, since it need not exist but should.
        for at in (0..length).rev() {
            let request = match names.get(at + 1) {
                None => declare(&names[at], true, Vec::new()),
                Some(heir) => {
                    let end = self.draw_end(at == 0);
                    buries_refused |= matches!(end, End::LengthRefusing(_));
                    declare_mortal(&names[at], heir, end)
                }
            };
            let home = if stays { home } else { self.random.below(self.world.count()) };
            queues.push(self.declare_now(home, request)?);
        }
        queues.reverse();
        let mut owners = Vec::new();
        for queue in &queues {
            owners.push(self.owner_of(*queue)?);
        }
        let on_one_shard = owners.iter().all(|owner| *owner == owners[0]);
        let estate = Estate::new(queues, owners[0], on_one_shard, buries_refused);
        self.shadow.estates.push(estate);
        Ok(())
    }

    fn draw_end(&mut self, is_first: bool) -> End {
        let few = 1 + self.random.below(6) as i64;
        match self.random.below(5) {
            0 => End::Rejection,
            1 => End::Ttl(1 + self.random.below(100) as i64),
            2 if is_first => End::LengthRefusing(few),
            2 | 3 => End::Length(few),
            _ => End::Returns(few % 3),
        }
    }

    /// Declares a queue and waits for the answer.
    fn declare_now(&mut self, home: usize, request: TopologyRequest) -> Verdict<QueueId> {
        let admin = self.clients.admin(home);
        let TopologyRequest::DeclareQueue { name, .. } = &request else {
            return broken(Kind::Definition, "not a declare".into());
        };
        let name = name.clone();
        let from = Requester::Channel(ChannelKey { incarnation: u32::MAX, ..admin });
        self.send(home, 0, Mail::Peer(PeerMail::Request { from, request }))?;
        self.settle_down()?;
        match self.world.shards.first().and_then(|shard| shard.topology().queue(VHOST, &name)) {
            Some(queue) => Ok(queue.id),
            None => broken(Kind::Definition, format!("{name} is not declared")),
        }
    }

    /// Shards that own something.
    pub fn owners(&self, queues: &[QueueId]) -> Verdict<Vec<(ShardId, Vec<QueueId>)>> {
        let mut owners: Vec<(ShardId, Vec<QueueId>)> = Vec::new();
        for queue in queues {
            let owner = self.owner_of(*queue)?;
            match owners.iter_mut().find(|(known, _)| *known == owner) {
                Some((_, held)) => held.push(*queue),
                None => owners.push((owner, vec![*queue])),
            }
        }
        Ok(owners)
    }
}

fn definition_request(entity: &Entity, puts: bool) -> TopologyRequest {
    let vhost: Arc<str> = VHOST.into();
    match entity {
        Entity::Exchange { name, durable } if puts => TopologyRequest::DeclareExchange {
            vhost,
            name: name.as_str().into(),
            kind: "fanout".into(),
            durable: *durable,
            auto_delete: false,
            internal: false,
            arguments: Arc::default(),
        },
        Entity::Exchange { name, .. } => {
            TopologyRequest::DeleteExchange { vhost, name: name.as_str().into(), if_unused: false }
        }
        Entity::User(name) if puts => TopologyRequest::PutUser {
            name: name.as_str().into(),
            password_hash: Arc::from([3_u8; 36]),
            tags: None,
            replace: true,
        },
        Entity::User(name) => TopologyRequest::DeleteUser { name: name.as_str().into() },
        Entity::Binding { queue, key } => {
            let (source, key) = (Arc::from(SOURCE), Arc::from(key.as_str()));
            let target = BindingTarget::Queue(queue.as_str().into());
            let (arguments, connection) = (Arc::default(), None);
            match puts {
                true => TopologyRequest::Bind { vhost, source, target, key, arguments, connection },
                false => {
                    TopologyRequest::Unbind { vhost, source, target, key, arguments, connection }
                }
            }
        }
    }
}
