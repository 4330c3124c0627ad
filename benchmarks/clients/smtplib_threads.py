"""smtplib with ready-made content, a thread for each connection."""

from __future__ import annotations

import smtplib
from concurrent.futures import ThreadPoolExecutor

from benchmarks.clients.task import clock, given

if __name__ == "__main__":
    task = given()
    work = task.ready_made()

    def send(first: int) -> None:
        with smtplib.SMTP(task.host, task.port) as server:
            for message in work[first :: task.connections]:
                server.sendmail(task.sender_address, message.envelope.forward_path, message.content)

    with clock(), ThreadPoolExecutor(task.connections) as threads:
        list(threads.map(send, range(min(task.connections, len(work)))))
