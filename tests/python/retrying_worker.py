"""Tries tasks again after a pause: a task that fails is rejected, waits in a queue with a limit of
time, and comes back by that queue's dead-letter exchange. One that has failed three times is put
aside. Usage: retrying_worker.py COUNT (of tasks)"""

import os
import sys

import pika

ATTEMPTS = 3

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.exchange_declare("work", "direct", durable=True)
channel.exchange_declare("retry", "fanout", durable=True)
channel.queue_declare("tasks", durable=True, arguments={"x-dead-letter-exchange": "retry"})
channel.queue_bind("tasks", "work", "task")
channel.queue_declare(
    "pause",
    durable=True,
    arguments={"x-message-ttl": 100, "x-dead-letter-exchange": "work"},
)
channel.queue_bind("pause", "retry")
channel.queue_declare("aside", durable=True)
channel.confirm_delivery()
for number in range(int(sys.argv[1])):
    channel.basic_publish(
        "work",
        "task",
        f"task {number}",
        pika.BasicProperties(
            delivery_mode=2, message_id=f"m{number}", headers={"difficulty": number}
        ),
    )

left = int(sys.argv[1])


def failures(properties):
    for death in properties.headers.get("x-death", []):
        if death["queue"] == "tasks" and death["reason"] == "rejected":
            return death["count"]
    return 0


def on_task(channel, method, properties, body):
    global left
    failed = failures(properties)
    difficulty = properties.headers["difficulty"]
    name = body.decode()
    assert properties.message_id == "m" + name.split()[1], properties
    assert properties.delivery_mode == 2 and properties.expiration is None, properties
    assert method.routing_key == "task", method
    if failed >= difficulty:
        print("done", name, "after", failed)
        channel.basic_ack(method.delivery_tag)
        left -= 1
    elif failed == ATTEMPTS:
        deaths = properties.headers["x-death"]
        # Whole, since pika shows what came as a 64-bit number with an L.
        story = [(death["queue"], death["reason"], int(death["count"])) for death in deaths]
        print("aside", name, story, properties.headers["x-first-death-queue"])
        channel.basic_publish("", "aside", body, properties)
        channel.basic_ack(method.delivery_tag)
        left -= 1
    else:
        channel.basic_reject(method.delivery_tag, requeue=False)
    if left == 0:
        channel.stop_consuming()


channel.basic_qos(prefetch_count=2)
channel.basic_consume("tasks", on_task)
channel.start_consuming()
connection.close()
