"""Sends numbered tasks to the queue task_queue. Usage: task_producer.py COUNT"""

import os
import sys

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.queue_declare(queue="task_queue", durable=True)
for number in range(int(sys.argv[1])):
    channel.basic_publish(
        exchange="",
        routing_key="task_queue",
        body=f"task {number}",
        properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
    )
connection.close()
