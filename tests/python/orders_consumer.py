"""Takes 50 orders from the queue python-test and acknowledges each by hand; prints each order's number."""

import json
import os

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.queue_declare(queue="python-test")
taken = 0


def on_order(channel, method, properties, body):
    global taken
    order = json.loads(body)
    assert order["item"] == "carrot", order
    print(order["order"])
    channel.basic_ack(delivery_tag=method.delivery_tag)
    taken += 1
    if taken == 50:
        channel.stop_consuming()


channel.basic_consume(queue="python-test", on_message_callback=on_order)
channel.start_consuming()
connection.close()
