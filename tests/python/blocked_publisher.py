"""Publishes more than the broker wants to hold; takes messages away when it is told to wait."""
import os

import pika

COUNT = 2000
BODY = b"x" * 10_000
parameters = pika.ConnectionParameters("127.0.0.1", int(os.environ["BROKER_PORT"]))
publishing = pika.BlockingConnection(parameters)
consuming = pika.BlockingConnection(parameters)
out, into = publishing.channel(), consuming.channel()
into.queue_declare("heavy")

said = []
blocked = False
taken = 0


def say(line):
    if line not in said:
        said.append(line)
        print(line)


def on_blocked(_connection, frame):
    global blocked
    blocked = True
    say("blocked: " + frame.method.reason)


def on_unblocked(_connection, _frame):
    global blocked
    blocked = False
    say("unblocked")


def take_all():
    global taken
    while into.basic_get("heavy", auto_ack=True)[0] is not None:
        taken += 1


publishing.add_on_connection_blocked_callback(on_blocked)
publishing.add_on_connection_unblocked_callback(on_unblocked)
for _ in range(COUNT):
    while blocked:
        take_all()
        publishing.process_data_events(0.05)
    out.basic_publish("", "heavy", BODY)
    publishing.process_data_events(0)

while taken < COUNT:
    take_all()
    publishing.process_data_events(0.01)
print(f"{taken} of {COUNT} messages")
publishing.close()
consuming.close()
