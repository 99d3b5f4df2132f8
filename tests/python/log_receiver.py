"""Listens to the fanout exchange logs on a queue of its own, named by the server; ends with the line "end"."""

import os

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.exchange_declare(exchange="logs", exchange_type="fanout")
queue = channel.queue_declare(queue="", exclusive=True).method.queue
channel.queue_bind(exchange="logs", queue=queue)
print("listening on", queue)


def on_line(channel, method, properties, body):
    if body == b"end":
        channel.stop_consuming()
    else:
        print("line", body.decode())


channel.basic_consume(queue=queue, on_message_callback=on_line, auto_ack=True)
channel.start_consuming()
connection.close()
