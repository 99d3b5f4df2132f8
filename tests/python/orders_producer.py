"""Sends 50 orders, as JSON, to the queue python-test through the default exchange."""

import json
import os

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.queue_declare(queue="python-test")

for number in range(50):
    order = {"order": number, "item": "carrot", "price": round(1.25 * number, 2)}
    channel.basic_publish(exchange="", routing_key="python-test", body=json.dumps(order))

connection.close()
print("sent 50 orders")
