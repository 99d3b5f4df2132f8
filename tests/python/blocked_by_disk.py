"""With no room on the disk a publisher is told to wait; a connection that does not publish hears nothing."""
import os

import pika

parameters = pika.ConnectionParameters("127.0.0.1", int(os.environ["BROKER_PORT"]))
publishing = pika.BlockingConnection(parameters)
idle = pika.BlockingConnection(parameters)
heard = []
reasons = []
idle.add_on_connection_blocked_callback(lambda _c, frame: heard.append(frame))
publishing.add_on_connection_blocked_callback(lambda _c, frame: reasons.append(frame.method.reason))
publishing.channel().basic_publish("", "nowhere", b"x")
while not reasons:
    publishing.process_data_events(0.1)
print("blocked: " + reasons[0])
idle.channel().queue_declare("still-served", exclusive=True)
idle.process_data_events(0)
if not heard:
    print("an idle connection hears nothing")
idle.close()
