"""Asks for Fibonacci numbers on rpc_queue, with a reply queue of its own. Usage: rpc_client.py N..."""

import os
import sys
import uuid

import pika


class FibonacciClient:
    def __init__(self):
        self.connection = pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
        )
        self.channel = self.connection.channel()
        self.reply_queue = self.channel.queue_declare(queue="", exclusive=True).method.queue
        self.channel.basic_consume(
            queue=self.reply_queue, on_message_callback=self.on_reply, auto_ack=True
        )
        self.reply = None
        self.correlation_id = None

    def on_reply(self, channel, method, properties, body):
        if properties.correlation_id == self.correlation_id:
            self.reply = int(body)

    def call(self, n):
        self.reply = None
        self.correlation_id = str(uuid.uuid4())
        self.channel.basic_publish(
            exchange="",
            routing_key="rpc_queue",
            properties=pika.BasicProperties(
                reply_to=self.reply_queue, correlation_id=self.correlation_id
            ),
            body=str(n),
        )
        while self.reply is None:
            self.connection.process_data_events(time_limit=30)
        return self.reply


client = FibonacciClient()
for n in sys.argv[1:]:
    print(f"fib({n}) = {client.call(int(n))}")
client.connection.close()
