"""A Celery application as its users write them: tasks, retries with a countdown, a remote-call result backend."""

import os
import time

from celery import Celery

app = Celery(
    "celery_app",
    broker=f"amqp://guest:guest@127.0.0.1:{os.environ['BROKER_PORT']}//",
    backend="rpc://",
)
app.conf.update(
    result_persistent=False,
    worker_prefetch_multiplier=2,
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_track_started=True,
    worker_send_task_events=True,
    broker_transport_options={"confirm_publish": True},
)


@app.task
def add(left, right):
    return left + right


@app.task(bind=True, max_retries=3)
def flaky(self, good_after):
    """Fails `good_after` times; each retry waits in the worker until it is due."""
    if self.request.retries < good_after:
        raise self.retry(countdown=0.3)
    return self.request.retries


@app.task
def failing():
    raise ValueError("as it should")


@app.task
def slow(path, seconds):
    """Says in a file that it has begun, then takes its time. Only the first attempt is slow."""
    with open(path, "a+", encoding="utf-8") as log:
        log.write("begun\n")
        log.flush()
        log.seek(0)
        attempt = len(log.readlines())
    if attempt == 1:
        time.sleep(seconds)
    return f"done in attempt {attempt}"
