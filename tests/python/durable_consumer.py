"""Takes what is in durable-orders until it is empty; prints each body."""

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
channel.exchange_declare(exchange="orders", exchange_type="direct", durable=True)
channel.queue_declare(queue="durable-orders", durable=True)

for method, properties, body in channel.consume("durable-orders", inactivity_timeout=2):
    if method is None:
        break
    assert properties.delivery_mode == 2, properties
    print(body.decode())
    channel.basic_ack(method.delivery_tag)

channel.cancel()
connection.close()
