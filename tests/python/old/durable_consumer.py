"""Takes 82 messages from durable-orders; prints each body (pika 0.x)."""

import os

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters(
        "127.0.0.1",
        int(os.environ.get("BROKER_PORT", "5672")),
        "/",
        pika.PlainCredentials("user", "password"),
    )
)
channel = connection.channel()
channel.queue_declare(queue="durable-orders", durable=True)
taken = 0


def callback(ch, method, properties, body):
    global taken
    print(body.decode())
    ch.basic_ack(delivery_tag=method.delivery_tag)
    taken += 1
    if taken == 82:
        ch.stop_consuming()


channel.basic_qos(prefetch_count=1)
channel.basic_consume(callback, queue="durable-orders", no_ack=False)
channel.start_consuming()
connection.close()
