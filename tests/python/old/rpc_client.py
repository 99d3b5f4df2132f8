"""Asks for Fibonacci numbers on rpc_queue, with a reply queue of its own (pika 0.x). Usage: rpc_client.py N..."""

import os
import sys
import uuid

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
reply_queue = channel.queue_declare(exclusive=True).method.queue
replies = {}


def on_reply(ch, method, props, body):
    replies[props.correlation_id] = int(body)


channel.basic_consume(on_reply, queue=reply_queue, no_ack=True)
for n in sys.argv[1:]:
    correlation_id = str(uuid.uuid4())
    channel.basic_publish(
        exchange="",
        routing_key="rpc_queue",
        properties=pika.BasicProperties(reply_to=reply_queue, correlation_id=correlation_id),
        body=n,
    )
    while correlation_id not in replies:
        connection.process_data_events(time_limit=30)
    print("fib(%s) = %d" % (n, replies[correlation_id]))
connection.close()
