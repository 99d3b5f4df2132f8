"""Works on tasks, one at a time, for as long as it lives. Usage: task_worker.py SECONDS_PER_TASK"""

import os
import sys

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.queue_declare(queue="task_queue", durable=True)


def on_task(channel, method, properties, body):
    connection.sleep(float(sys.argv[1]))
    channel.basic_ack(delivery_tag=method.delivery_tag)
    print("done", body.decode())


channel.basic_qos(prefetch_count=1)
channel.basic_consume(queue="task_queue", on_message_callback=on_task)
print("ready")
channel.start_consuming()
