//! What routing one message costs, and what one declaration costs among many.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::table::{Table, Value};
use haremq_engine::topology::{BindingTarget, Routes, Topology, TopologyRequest};

const VHOST: &str = "/";

struct World {
    topology: Topology,
    queues: u64,
}

impl World {
    fn new() -> World {
        let mut topology = Topology::new();
        for change in Topology::first_boot([][..].into()) {
            topology.apply(&change);
        }
        World { topology, queues: 0 }
    }

    fn ask(&mut self, request: &TopologyRequest) {
        let shard = ShardId((self.queues % 2) as u16);
        let decision = self.topology.decide(request, shard, QueueId(self.queues));
        for change in decision.expect("a good request").changes {
            self.topology.apply(&change);
        }
    }

    fn declare(&mut self, name: &str) {
        self.queues += 1;
        self.ask(&TopologyRequest::DeclareQueue {
            vhost: VHOST.into(),
            name: name.into(),
            durable: true,
            auto_delete: false,
            exclusive_to: None,
            connection: None,
            arguments: Arc::default(),
        });
    }

    fn bind(&mut self, source: &str, queue: &str, key: &str, arguments: Table) {
        self.ask(&TopologyRequest::Bind {
            vhost: VHOST.into(),
            source: source.into(),
            target: BindingTarget::Queue(queue.into()),
            key: key.into(),
            arguments: arguments.into(),
            connection: None,
        });
    }

    fn bench(&self, c: &mut Criterion, name: &str, exchange: &str, key: &str, headers: &[u8]) {
        let mut routes = Routes::default();
        let mut route = || {
            let (exchange, key) = (exchange.as_bytes(), key.as_bytes());
            let result = self.topology.route(VHOST, exchange, key, Some(headers), &mut routes);
            result.expect("an exchange that is there");
            routes.targets.len()
        };
        let targets = route();
        let mut group = c.benchmark_group("route");
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{name} ({targets} targets)"), |b| {
            b.iter(|| black_box(route()));
        });
        group.finish();
    }
}

fn headers(fields: &[(&str, Value)]) -> Table {
    Table(fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

fn direct(c: &mut Criterion) {
    let mut world = World::new();
    for n in 0..10_000 {
        let name = format!("queue-{n}");
        world.declare(&name);
        world.bind("amq.direct", &name, &name, Table::default());
        if n < 100 {
            world.bind("amq.fanout", &name, "", Table::default());
        }
    }
    world.bench(c, "default exchange, 10 000 queues", "", "queue-77", &[]);
    world.bench(c, "direct, 10 000 bindings", "amq.direct", "queue-77", &[]);
    world.bench(c, "direct, unroutable", "amq.direct", "nothing", &[]);
    world.bench(c, "fanout", "amq.fanout", "", &[]);
}

fn topic(c: &mut Criterion) {
    let mut world = World::new();
    for n in 0..10_000 {
        let name = format!("queue-{}", n % 1000);
        if n < 1000 {
            world.declare(&name);
        }
        let pattern = match n % 4 {
            0 => format!("site{}.device{n}.temperature", n % 100),
            1 => format!("site{}.*.alarm{n}", n % 100),
            2 => format!("site{}.device{n}.#", n % 100),
            _ => format!("*.device{n}.*.error"),
        };
        world.bind("amq.topic", &name, &pattern, Table::default());
    }
    world.bench(c, "topic, 10 000 bindings", "amq.topic", "site42.device42.temperature", &[]);
    world.bench(c, "topic, unroutable", "amq.topic", "nothing.of.that.sort", &[]);

    let mut world = World::new();
    world.declare("q");
    let pattern = vec!["#.a"; 30].join(".") + ".b";
    world.bind("amq.topic", "q", &pattern, Table::default());
    let key = vec!["a"; 127].join(".");
    world.bench(c, "topic, 30 # against 127 words", "amq.topic", &key, &[]);
}

fn by_headers(c: &mut Criterion) {
    let mut world = World::new();
    for n in 0..1000 {
        let name = format!("queue-{n}");
        world.declare(&name);
        let fields = [("type", Value::text("report")), ("customer", Value::I32(n))];
        world.bind("amq.headers", &name, "", headers(&fields));
    }
    let mut octets = Vec::new();
    headers(&[
        ("type", Value::text("report")),
        ("format", Value::text("pdf")),
        ("customer", Value::I32(77)),
    ])
    .encode_fields(&mut octets);
    world.bench(c, "headers, 1 000 bindings", "amq.headers", "", &octets);
}

/// Declares, binds and deletes a queue while 100 000 others are there, all bound to the same
/// exchange.
fn decide(c: &mut Criterion) {
    let mut world = World::new();
    for n in 0..100_000 {
        let name = format!("queue-{n}");
        world.declare(&name);
        world.bind("amq.fanout", &name, "", Table::default());
        world.bind("amq.topic", &name, &format!("a.{n}.#"), Table::default());
    }
    c.bench_function("declare, bind twice, delete among 100 000", |b| {
        b.iter(|| {
            world.declare("one-more");
            world.bind("amq.fanout", "one-more", "", Table::default());
            world.bind("amq.topic", "one-more", "a.one-more.#", Table::default());
            world.ask(&TopologyRequest::DropQueue { id: QueueId(world.queues) });
        });
    });
}

criterion_group!(benches, direct, topic, by_headers, decide);
criterion_main!(benches);
