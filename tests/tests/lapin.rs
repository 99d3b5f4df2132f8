//! Programs written with lapin, as its users write them, against the real broker.

use futures_lite::StreamExt;
use haremq_tests::broker::Broker;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
    BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeBindOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
};

async fn connect(broker: &Broker) -> Connection {
    let uri = format!("amqp://guest:guest@{}/%2f", broker.amqp());
    Connection::connect(&uri, ConnectionProperties::default()).await.expect("a connection")
}

async fn declare(channel: &Channel, queue: &str, arguments: FieldTable) {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, arguments).await.expect("declared");
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8]) -> Confirmation {
    let properties = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    channel
        .basic_publish(exchange.into(), key.into(), options, body, properties)
        .await
        .expect("published")
        .await
        .expect("confirmed")
}

/// Runs a client program in a runtime of its own.
fn run(program: impl std::future::Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let limit = std::time::Duration::from_secs(120);
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(limit, program).await.expect("the program comes to its end");
    });
}

#[test]
fn lapin_messages_are_confirmed_and_arrive_in_order_with_their_headers() {
    let broker = Broker::start();
    run(async {
        let connection = connect(&broker).await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        declare(&channel, "lapin", FieldTable::default()).await;
        let mut headers = FieldTable::default();
        headers.insert("text".into(), AMQPValue::LongString(LongString::from("gruß")));
        headers.insert("number".into(), AMQPValue::LongLongInt(-7));
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_headers(headers.clone());
        let mut waiting = Vec::new();
        for number in 0_u32..500 {
            let options = BasicPublishOptions::default();
            let body = number.to_be_bytes();
            let confirm = channel.basic_publish(
                "".into(),
                "lapin".into(),
                options,
                &body,
                properties.clone(),
            );
            waiting.push(confirm.await.expect("published"));
        }
        for confirm in waiting {
            assert!(matches!(confirm.await.expect("an answer"), Confirmation::Ack(None)));
        }
        channel.basic_qos(50, BasicQosOptions::default()).await.expect("a prefetch count");
        let options = BasicConsumeOptions::default();
        let mut consumer = channel
            .basic_consume("lapin".into(), "mine".into(), options, FieldTable::default())
            .await
            .expect("a consumer");
        for number in 0_u32..500 {
            let delivery = consumer.next().await.expect("a delivery").expect("no error");
            assert_eq!(delivery.data, number.to_be_bytes());
            assert_eq!(delivery.properties.headers(), &Some(headers.clone()));
            assert!(!delivery.redelivered);
            delivery.ack(BasicAckOptions::default()).await.expect("acked");
        }
        channel.basic_cancel("mine".into(), BasicCancelOptions::default()).await.expect("ended");
        connection.close(200, "done".into()).await.expect("closed");
    });
}

#[test]
fn lapin_is_told_of_what_has_no_route_and_of_what_is_refused() {
    let broker = Broker::start();
    run(async {
        let connection = connect(&broker).await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        match publish(&channel, "amq.direct", "nowhere", b"lost").await {
            Confirmation::Ack(Some(returned)) => assert_eq!(returned.reply_code, 312),
            other => panic!("a message without a route was answered by {other:?}"),
        }
        declare(&channel, "strict", FieldTable::default()).await;
        let other = QueueDeclareOptions::default();
        let refused = channel.queue_declare("strict".into(), other, FieldTable::default()).await;
        let text = refused.expect_err("durable differs").to_string();
        assert!(text.contains("inequivalent arg 'durable' for queue 'strict'"), "{text}");
        let next = connection.create_channel().await.expect("the connection lives on");
        next.queue_delete("strict".into(), QueueDeleteOptions::default()).await.expect("deleted");
    });
}

#[test]
fn lapin_sees_a_rejected_message_again_and_then_dead_lettered() {
    let broker = Broker::start();
    run(async {
        let connection = connect(&broker).await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        declare(&channel, "grave", FieldTable::default()).await;
        let mut arguments = FieldTable::default();
        let nowhere = AMQPValue::LongString(LongString::from(""));
        arguments.insert("x-dead-letter-exchange".into(), nowhere);
        let grave = AMQPValue::LongString(LongString::from("grave"));
        arguments.insert("x-dead-letter-routing-key".into(), grave);
        declare(&channel, "life", arguments).await;
        publish(&channel, "", "life", b"poison").await;
        for (redelivered, requeue) in [(false, true), (true, false)] {
            let got = channel.basic_get("life".into(), BasicGetOptions::default()).await;
            let got = got.expect("an answer").expect("a message");
            assert_eq!(got.redelivered, redelivered);
            let options = BasicNackOptions { requeue, ..Default::default() };
            got.nack(options).await.expect("nacked");
        }
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let mut dead = channel
            .basic_consume("grave".into(), "".into(), options, FieldTable::default())
            .await
            .expect("a consumer");
        let letter = dead.next().await.expect("a delivery").expect("no error");
        assert_eq!(letter.data, b"poison");
        let headers = letter.properties.headers().clone().expect("headers");
        assert!(headers.inner().contains_key("x-death"), "{headers:?}");
    });
}

#[test]
fn lapin_topology_routes_through_bound_exchanges() {
    let broker = Broker::start();
    run(async {
        let connection = connect(&broker).await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        for (name, kind) in [("outer", ExchangeKind::Topic), ("inner", ExchangeKind::Fanout)] {
            let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
            channel
                .exchange_declare(name.into(), kind, options, FieldTable::default())
                .await
                .expect("declared");
        }
        let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
        let queue = channel
            .queue_declare("".into(), exclusive, FieldTable::default())
            .await
            .expect("a queue");
        let (options, none) = (ExchangeBindOptions::default(), FieldTable::default());
        channel
            .exchange_bind("inner".into(), "outer".into(), "*.in".into(), options, none.clone())
            .await
            .expect("bound");
        channel
            .queue_bind(
                queue.name().clone(),
                "inner".into(),
                "".into(),
                QueueBindOptions::default(),
                none,
            )
            .await
            .expect("bound");
        assert!(matches!(
            publish(&channel, "outer", "a.in", b"yes").await,
            Confirmation::Ack(None)
        ));
        let got = channel.basic_get(queue.name().clone(), BasicGetOptions { no_ack: true }).await;
        assert_eq!(got.expect("an answer").expect("a message").data, b"yes");
    });
}
