"""Takes a task and waits for its end. Usage: worker_that_dies.py manual|auto (acknowledgement)"""

import os
import sys

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.queue_declare(queue="task_queue", durable=True)


def on_task(channel, method, properties, body):
    print("took", body.decode(), method.redelivered)


channel.basic_consume(
    queue="task_queue", on_message_callback=on_task, auto_ack=sys.argv[1] == "auto"
)
channel.start_consuming()
