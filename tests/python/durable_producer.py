"""Sends 82 persistent messages through a durable exchange to a durable queue, waiting for the confirm of each."""

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
channel.queue_bind(queue="durable-orders", exchange="orders", routing_key="order")
channel.confirm_delivery()

for number in range(82):
    channel.basic_publish(
        exchange="orders",
        routing_key="order",
        body=f"order {number}",
        properties=pika.BasicProperties(delivery_mode=2),
        mandatory=True,
    )
    print(f"confirmed {number}")

# The connection is left open: the broker is killed under it.
print("all confirmed")
try:
    while True:
        connection.process_data_events(time_limit=60)
except pika.exceptions.AMQPConnectionError:
    print("the broker is gone")
