"""Sends one line to everybody who listens to the fanout exchange logs. Usage: log_emitter.py TEXT"""

import os
import sys

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.exchange_declare(exchange="logs", exchange_type="fanout")
channel.basic_publish(exchange="logs", routing_key="", body=sys.argv[1])
connection.close()
