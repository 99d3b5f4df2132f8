//! Every method in every phase of a connection and a channel: the broker answers with a close or an end, or takes
//! it, and never falls over.

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::method::{self, Method};
use haremq_tests::wire::{Arguments, Client, Frame, Login, Received};
use std::time::Duration;

/// How far a connection has come when the method arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    BeforeStartOk,
    BeforeTuneOk,
    BeforeOpen,
    Open,
    AfterClose,
    ChannelUnopened,
    ChannelOpen,
    ChannelAwaitsHeader,
    ChannelAwaitsBody,
    ChannelClosing,
}

const PHASES: [Phase; 10] = [
    Phase::BeforeStartOk,
    Phase::BeforeTuneOk,
    Phase::BeforeOpen,
    Phase::Open,
    Phase::AfterClose,
    Phase::ChannelUnopened,
    Phase::ChannelOpen,
    Phase::ChannelAwaitsHeader,
    Phase::ChannelAwaitsBody,
    Phase::ChannelClosing,
];

impl Phase {
    /// The channel on which the method is sent.
    fn channel(self) -> u16 {
        match self {
            Phase::BeforeStartOk | Phase::BeforeTuneOk | Phase::BeforeOpen | Phase::Open => 0,
            Phase::AfterClose => 0,
            _ => 1,
        }
    }

    /// A connection brought to this phase.
    fn reach(self, broker: &Broker) -> Client {
        match self {
            Phase::BeforeStartOk | Phase::BeforeTuneOk | Phase::BeforeOpen => {
                let mut client = Client::connect(broker.amqp());
                client.greet();
                if self != Phase::BeforeStartOk {
                    client.start_ok(&Login::default());
                    let tune = client.tune();
                    if self == Phase::BeforeOpen {
                        client.tune_ok(tune);
                    }
                }
                client
            }
            Phase::Open | Phase::ChannelUnopened => Client::login(broker.amqp()),
            Phase::AfterClose => {
                let mut client = Client::login(broker.amqp());
                // A frame of an unknown type makes the broker close and wait for close-ok.
                client.send(&Frame { kind: 9, channel: 0, payload: Vec::new() }.encode());
                client.expect(0, method::CONNECTION_CLOSE);
                client
            }
            Phase::ChannelOpen => Client::login_with_channel(broker.amqp()),
            Phase::ChannelAwaitsHeader | Phase::ChannelAwaitsBody => {
                let mut client = Client::login_with_channel(broker.amqp());
                let publish = Arguments::new().short(0).shortstr("").shortstr("q").octet(0);
                client.method(1, method::BASIC_PUBLISH, &publish);
                if self == Phase::ChannelAwaitsBody {
                    client.send(&Frame::content_header(1, 10, &[0, 0]).encode());
                }
                client
            }
            Phase::ChannelClosing => {
                let mut client = Client::login_with_channel(broker.amqp());
                let passive = Arguments::new().short(0).shortstr("nope").octet(1).empty_table();
                client.method(1, method::QUEUE_DECLARE, &passive);
                client.expect(1, method::CHANNEL_CLOSE);
                client
            }
        }
    }
}

/// Arguments of every kind a method may want, more of them than any has: valid for none in particular.
fn plenty() -> Arguments {
    Arguments::new().raw(&[0; 64])
}

fn send_all(broker: &Broker, phase: Phase, arguments: &Arguments) -> Vec<(Method, Client)> {
    method::ALL
        .iter()
        .map(|&id| {
            let mut client = phase.reach(broker);
            let _ = client.try_send(&Frame::method(phase.channel(), id, arguments).encode());
            (id, client)
        })
        .collect()
}

/// What an answer may be: a close with a code of the specification, the end, a reply, or nothing.
fn assert_well_formed(phase: Phase, id: Method, answer: &Received) {
    let Received::Frame(frame) = answer else { return };
    if let Some(close) = frame.close() {
        let hard = matches!(close.code, 320 | 402 | 501..=506 | 530 | 540 | 541);
        let soft = matches!(close.code, 311..=313 | 403..=406);
        let right = if close.of_connection { hard } else { soft };
        assert!(right, "{id:?} in phase {phase:?} was answered with {close}");
    }
}

#[test]
fn every_method_in_every_phase_leaves_the_broker_standing() {
    let mut broker = Broker::start();
    let mut bystander = Client::login_with_channel(broker.amqp());
    for arguments in [Arguments::new(), plenty()] {
        for phase in PHASES {
            let clients = send_all(&broker, phase, &arguments);
            for (id, mut client) in clients {
                // Answers come at once or, before login, never: the end is held back then.
                let answer = client.receive(Duration::from_millis(20));
                assert_well_formed(phase, id, &answer);
            }
            bystander.exercise(1);
            assert!(broker.is_alive(), "the broker has died in phase {phase:?}");
        }
    }
}

#[test]
fn before_login_a_wrong_method_is_answered_only_by_the_end() {
    let broker = Broker::start();
    for phase in [Phase::BeforeStartOk, Phase::BeforeTuneOk] {
        let wrong: Vec<(Method, Client)> = [(50, 10), (20, 10), (10, 40), (60, 40)]
            .iter()
            .map(|&id| {
                let mut client = phase.reach(&broker);
                client.method(phase.channel(), id, &plenty());
                (id, client)
            })
            .collect();
        for (id, mut client) in wrong {
            let answer = client.receive(PATIENCE);
            let ended = answer == Received::Closed || answer.to_string().starts_with("CONN 5");
            assert!(ended, "{id:?} in phase {phase:?} was answered with {answer}");
        }
    }
}

#[test]
fn a_channel_must_be_opened_before_anything_else() {
    let broker = Broker::start();
    let calls: [(Method, Arguments); 6] = [
        (method::QUEUE_DECLARE, Arguments::new().short(0).shortstr("q").octet(0).empty_table()),
        (method::BASIC_QOS, Arguments::new().long(0).short(1).octet(0)),
        (method::BASIC_GET, Arguments::new().short(0).shortstr("q").octet(0)),
        (method::CONFIRM_SELECT, Arguments::new().octet(0)),
        (method::TX_SELECT, Arguments::new()),
        (method::BASIC_PUBLISH, Arguments::new().short(0).shortstr("").shortstr("q").octet(0)),
    ];
    for ((class, id), arguments) in calls {
        let mut client = Client::login(broker.amqp());
        client.method(1, (class, id), &arguments);
        if (class, id) == method::BASIC_PUBLISH {
            // Its content belongs to it: the original answers only when it is complete.
            client.send(&Frame::content_header(1, 0, &[0, 0]).encode());
        }
        let expected = format!("CONN 504 CHANNEL_ERROR - expected 'channel.open' ({class},{id})");
        assert_eq!(client.receive(PATIENCE).to_string(), expected);
    }
}

#[test]
fn while_a_connection_closes_everything_but_close_is_ignored() {
    let broker = Broker::start();
    let mut client = Phase::AfterClose.reach(&broker);
    client.method(1, method::CHANNEL_OPEN, &Arguments::new().shortstr(""));
    let declare = Arguments::new().short(0).shortstr("ignored").octet(0).empty_table();
    client.method(1, method::QUEUE_DECLARE, &declare);
    assert_eq!(client.receive(Duration::from_millis(300)), Received::Silence);
    client.method(0, method::CONNECTION_CLOSE_OK, &Arguments::new());
    assert!(client.receive_end(PATIENCE).is_some());
}
