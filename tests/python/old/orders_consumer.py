"""Takes 50 orders from the queue python-test and acknowledges each by hand (pika 0.x)."""

import json
import os

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.queue_declare(queue="python-test")
taken = 0


def callback(ch, method, properties, body):
    global taken
    print(json.loads(body)["order"])
    ch.basic_ack(delivery_tag=method.delivery_tag)
    taken += 1
    if taken == 50:
        ch.stop_consuming()


channel.basic_consume(callback, queue="python-test", no_ack=False)
channel.start_consuming()
connection.close()
