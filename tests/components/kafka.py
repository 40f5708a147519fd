# SPDX-License-Identifier: MIT
"""kafka.py - a real Apache Kafka for tests: one broker in KRaft mode on free ports."""

import glob
import importlib.util
import os
import shutil
import subprocess
import time

from component import Component, Unavailable, free_port

SETTINGS = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
num.partitions=6
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=2097152
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=100
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
auto.create.topics.enable=false
"""

# Small, and quick to start: the first one of a version leaves an archive of its classes.
JAVA = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xlog:cds=off",
        "-Xlog:cds+dynamic=off", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
FAST_JAVA = ["-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto",
             "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]


class Kafka(Component):
    """`with Kafka() as k:` - k.servers is what a client connects to."""

    def __init__(self, version="4.3.1", fast=False, **settings):
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.home = f"{cache}/lade/kafka-{version}"
        jars = sorted(glob.glob(f"{self.home}/lib/*.jar"))
        if not jars or not shutil.which("java"):
            raise Unavailable(f"no Apache Kafka {version}: run tests/components/setup")
        if not importlib.util.find_spec("confluent_kafka"):
            raise Unavailable("no confluent_kafka for this Python: use Debian's own, after "
                              "tests/components/setup")
        super().__init__("kafka")
        self.java = ["java", *(FAST_JAVA if fast else JAVA), "-cp", ":".join(jars)]
        self.archive = f"{self.home}/{'fast' if fast else 'small'}.jsa"
        self.port, controller = free_port(), free_port()
        self.servers = f"127.0.0.1:{self.port}"
        self.env = {"LADE_TEST_KAFKA": self.servers}
        with open(self.path("server.properties"), "w", encoding="utf-8") as f:
            f.write(SETTINGS.format(port=self.port, controller=controller, folder=self.folder))
            for name, value in settings.items():
                f.write(f"{name.replace('_', '.')}={value}\n")
        self._call(*self._shared(), "kafka.tools.StorageTool", "format",
                   "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", "server.properties")

    def _shared(self):
        if os.path.exists(self.archive):
            return [self.java[0], f"-XX:SharedArchiveFile={self.archive}", *self.java[1:]]
        return self.java

    def start(self):
        java, new = self._shared(), None
        if java is self.java:
            new = f"{self.archive}.{os.getpid()}"
            java = [java[0], f"-XX:ArchiveClassesAtExit={new}", *java[1:]]
        self._launch(*java, "kafka.Kafka", "server.properties")
        self._wait_until(self._answers)
        if new:  # once: it is written at a clean end
            self.stop()
            if os.path.exists(new):
                os.replace(new, self.archive)
            self.start()

    def _answers(self):
        import confluent_kafka
        from confluent_kafka.admin import AdminClient
        try:
            admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0,
                                 "socket.timeout.ms": 1000})
            return len(admin.list_topics(timeout=1).brokers) == 1
        except confluent_kafka.KafkaException:
            return False

    def admin(self):
        from confluent_kafka.admin import AdminClient
        return AdminClient({"bootstrap.servers": self.servers})

    def create(self, topic, partitions=6, **config):
        from confluent_kafka.admin import NewTopic
        new = NewTopic(topic, partitions, 1,
                       config={k.replace("_", "."): str(v) for k, v in config.items()})
        admin = self.admin()  # what it has begun ends with it
        admin.create_topics([new])[topic].result(30)
        while len(admin.list_topics(topic, timeout=10).topics[topic].partitions) != partitions:
            pass

    def set(self, topic, **config):
        """Changes settings of a topic."""
        from confluent_kafka.admin import ConfigResource
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config={
            k.replace("_", "."): str(v) for k, v in config.items()})
        admin = self.admin()  # what it has begun ends with it
        admin.alter_configs([resource])[resource].result(30)

    def delete(self, topic):
        admin = self.admin()
        admin.delete_topics([topic])[topic].result(30)

    def low(self, topic, partition):
        """The offset of the oldest message that is there."""
        from confluent_kafka import Consumer, TopicPartition
        c = Consumer({"bootstrap.servers": self.servers, "group.id": "low"})
        try:
            return c.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[0]
        finally:
            c.close()

    def send(self, topic, values, key=None, partition=None, **settings):
        """Sends values (bytes or str; or (key, value) pairs) and waits for all of them."""
        from confluent_kafka import Producer
        failed = []

        def told(error, _):
            if error:
                failed.append(str(error))

        p = Producer({"bootstrap.servers": self.servers, "linger.ms": 5, "acks": "all",
                      "enable.idempotence": True, "partitioner": "murmur2_random",
                      "log_level": 3, **settings})
        for value in values:
            k, v = value if isinstance(value, tuple) else (key, value)
            extra = {} if partition is None else {"partition": partition}
            while True:
                try:
                    p.produce(topic, v, key=k, callback=told, **extra)
                    break
                except BufferError:
                    p.poll(0.1)
            p.poll(0)
        left = p.flush(60)
        if failed or left:
            raise RuntimeError(f"{left} left, {len(failed)} failed: {failed[:3]}")

    def _ends(self, topic, isolation):
        """Where the partitions of a topic end for who reads so."""
        from confluent_kafka import Consumer, TopicPartition
        c = Consumer({"bootstrap.servers": self.servers, "group.id": f"ends-{os.getpid()}",
                      "isolation.level": isolation})
        try:
            known = c.list_topics(topic, timeout=30).topics[topic].partitions
            return [c.get_watermark_offsets(TopicPartition(topic, p), timeout=30)[1]
                    for p in sorted(known)]
        finally:
            c.close()

    def settle(self, topic, seconds=60):
        """Waits until all transactions of a topic have ended, those of killed processes too: what
        is behind one that has not is hidden, and a commit is answered before it can be seen."""
        until = time.monotonic() + seconds
        all_there = self._ends(topic, "read_uncommitted")
        while any(seen < there for seen, there in
                  zip(self._ends(topic, "read_committed"), all_there)):
            if time.monotonic() > until:
                raise TimeoutError(f"{topic}: a transaction is open for {seconds} s")
            time.sleep(0.05)

    def read(self, topic, seconds=30, **settings):
        """All committed messages of a topic as it is now, partition by partition, in order."""
        from confluent_kafka import Consumer, TopicPartition
        self.settle(topic)
        c = Consumer({"bootstrap.servers": self.servers, "group.id": f"read-{os.getpid()}",
                      "enable.auto.commit": False, "isolation.level": "read_committed",
                      "enable.partition.eof": True, "auto.offset.reset": "earliest", **settings})
        messages = []
        try:
            known = c.list_topics(topic, timeout=seconds).topics[topic].partitions
            c.assign([TopicPartition(topic, p, 0) for p in known])
            ended, until = set(), time.monotonic() + seconds
            while len(ended) < len(known):
                if time.monotonic() > until:
                    raise TimeoutError(f"{topic}: {len(messages)} messages, and no end")
                for m in c.consume(1000, timeout=0.1):  # it waits for all of them
                    until = time.monotonic() + seconds
                    if m.error():
                        if m.error().code() != -191:  # the end of a partition
                            raise RuntimeError(str(m.error()))
                        ended.add(m.partition())
                    else:
                        messages.append(m)
        finally:
            c.close()
        return sorted(messages, key=lambda m: (m.partition(), m.offset()))

    def committed(self, group, topic):
        """The group's offsets, by partition."""
        from confluent_kafka import Consumer, TopicPartition
        c = Consumer({"bootstrap.servers": self.servers, "group.id": group})
        try:
            known = c.list_topics(topic, timeout=30).topics[topic].partitions
            return {t.partition: t.offset
                    for t in c.committed([TopicPartition(topic, p) for p in known], timeout=30)}
        finally:
            c.close()


if __name__ == "__main__":
    import sys
    with Kafka() as broker:
        print(broker.servers, flush=True)
        subprocess.run(sys.argv[1:] or ["cat"], env=dict(os.environ, **broker.env), check=False)
