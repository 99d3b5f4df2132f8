"""Sends messages to a direct or topic exchange. Usage: routed_emitter.py TYPE KEY:TEXT..."""

import os
import sys

import pika

kind, messages = sys.argv[1], sys.argv[2:]
connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.exchange_declare(exchange=f"{kind}_logs", exchange_type=kind)
for message in messages:
    key, text = message.split(":", 1)
    channel.basic_publish(exchange=f"{kind}_logs", routing_key=key, body=text)
connection.close()
