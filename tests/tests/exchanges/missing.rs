//! Exchanges that are named as alternate or dead-letter exchange and are not there.

use super::*;

/// Sends a message to a queue that has a consumer, and rejects it there.
fn reject_one(client: &mut Client, queue: &str) {
    client.publish(1, "", queue, &[0, 0], b"dead").expect("taken");
    // The confirm may come before the delivery or behind it.
    let mut tag = None;
    for _ in 0..2 {
        let Received::Frame(frame) = client.receive(PATIENCE) else {
            panic!("the broker is silent")
        };
        if frame.method_id() == Some(method::BASIC_DELIVER) {
            tag = client.content(&frame).map(|delivery| delivery.tag);
        }
    }
    let tag = tag.expect("a delivery");
    client.method(1, method::BASIC_REJECT, &Arguments::new().longlong(tag).octet(0));
}

/// Behaviour B11: what names an exchange that is not there is no error.
#[test]
fn a_missing_exchange_is_logged_once_and_its_messages_are_dropped() {
    let broker = Broker::start();
    let mut client = Client::login_with_channel(broker.amqp());
    declare(&mut client, "lonely", "fanout", &[Text("alternate-exchange", "nowhere")]);
    let arguments = table(&[Text("x-dead-letter-exchange", "gone")]);
    let queue = Arguments::new().short(0).shortstr("q").octet(2).longstr(&arguments);
    client.call(1, method::QUEUE_DECLARE, &queue, method::QUEUE_DECLARE_OK);
    client.confirm_select(1);
    for number in 0..3 {
        publish_safely(&mut client, "lonely", &[0, 0], &number.to_string());
    }
    client.consume(1, "q", "c");
    for _ in 0..3 {
        reject_one(&mut client, "q");
    }
    let said = |words: &str| {
        let lines = broker.output().lines();
        lines.iter().filter(|line| line.contains(words)).count()
    };
    let alternate = "alternate exchange 'nowhere' of exchange 'lonely' in vhost '/' does not exist";
    let dead = "dead-letter exchange 'gone' of queue 'q' in vhost '/' does not exist";
    eventually("both are logged", PATIENCE, || {
        (said(alternate) > 0 && said(dead) > 0).then_some(())
    });
    // Another one is news; it comes behind whatever was said of the first.
    let arguments = table(&[Text("x-dead-letter-exchange", "gone too")]);
    let queue = Arguments::new().short(0).shortstr("q2").octet(2).longstr(&arguments);
    client.call(1, method::QUEUE_DECLARE, &queue, method::QUEUE_DECLARE_OK);
    client.consume(1, "q2", "c2");
    reject_one(&mut client, "q2");
    eventually("the other one is logged", PATIENCE, || (said("'gone too'") > 0).then_some(()));
    assert_eq!((said(alternate), said(dead)), (1, 1));
}
