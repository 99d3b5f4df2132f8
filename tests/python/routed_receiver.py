"""Listens to a direct or topic exchange with several keys on one queue; ends with the message "end".

Usage: routed_receiver.py TYPE KEY..."""

import os
import sys

import pika

kind, keys = sys.argv[1], sys.argv[2:]
connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.exchange_declare(exchange=f"{kind}_logs", exchange_type=kind)
queue = channel.queue_declare(queue="", exclusive=True).method.queue
for key in keys:
    channel.queue_bind(exchange=f"{kind}_logs", queue=queue, routing_key=key)
print("listening on", queue)


def on_message(channel, method, properties, body):
    if body == b"end":
        channel.stop_consuming()
    else:
        print(f"{method.routing_key}:{body.decode()}")


channel.basic_consume(queue=queue, on_message_callback=on_message, auto_ack=True)
channel.start_consuming()
connection.close()
