"""Listens to the fanout exchange logs on a queue named by the server; ends with the line "end" (pika 0.x)."""

import os

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.exchange_declare(exchange="logs", exchange_type="fanout")
queue = channel.queue_declare(exclusive=True).method.queue
channel.queue_bind(exchange="logs", queue=queue)
print("listening on", queue)


def callback(ch, method, properties, body):
    if body == b"end":
        ch.stop_consuming()
    else:
        print("line", body.decode())


channel.basic_consume(callback, queue=queue, no_ack=True)
channel.start_consuming()
connection.close()
