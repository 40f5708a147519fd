// SPDX-License-Identifier: MIT

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * Flights WORK SERVERS TOPIC GROUP COUNT - what lade run does, in Kafka Streams.
 *
 * <p>WORK: drop   parse every message, sum its fields; ends after COUNT messages and prints them
 *                 with the sum
 *          kafka  the cities of both airports from a global table, out into TOPIC-out exactly once;
 *                 ends by SIGTERM, as such a program does
 */
public final class Flights {
    /** A message. Jackson reads and writes its fields. */
    public static final class Flight {
        public long seq;
        public int producer;
        public String date;
        public Long delay;
        public Long distance;
        public String origin;
        public String destination;
        public String pad;
        public String from_city;
        public String to_city;

        long sum() {
            return seq + producer + (delay == null ? 0 : delay) + (distance == null ? 0 : distance)
                    + date.length() + origin.length() + destination.length() + pad.length();
        }

        Flight from(String city) {
            from_city = city;
            return this;
        }

        Flight to(String city) {
            to_city = city;
            return this;
        }
    }

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final ObjectReader READER = JSON.readerFor(Flight.class);
    private static final ObjectWriter WRITER = JSON.writerFor(Flight.class);
    private static final Serde<Flight> FLIGHT =
            Serdes.serdeFrom((topic, flight) -> write(flight), (topic, bytes) -> read(bytes));

    private static byte[] write(Flight flight) {
        try {
            return WRITER.writeValueAsBytes(flight);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Flight read(byte[] bytes) {
        try {
            return READER.readValue(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long seen;
    private static long sum;

    private static Topology drop(String topic, long count, CountDownLatch ended) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(topic, Consumed.with(Serdes.ByteArray(), FLIGHT)).foreach((key, flight) -> {
            sum += flight.sum();
            if (++seen == count) {
                ended.countDown();
            }
        });
        return builder.build();
    }

    private static Topology kafka(String topic) {
        StreamsBuilder builder = new StreamsBuilder();
        GlobalKTable<String, String> cities = builder.globalTable("airports",
                Consumed.with(Serdes.String(), Serdes.String()),
                Materialized.as(Stores.inMemoryKeyValueStore("airports")));
        builder.stream(topic, Consumed.with(Serdes.ByteArray(), FLIGHT))
                .leftJoin(cities, (key, flight) -> flight.origin, Flight::from)
                .leftJoin(cities, (key, flight) -> flight.destination, Flight::to)
                .to(topic + "-out", Produced.with(Serdes.ByteArray(), FLIGHT));
        return builder.build();
    }

    private static Properties settings(String work, String servers, String group) {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, group);
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        p.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir") + "/" + group);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        if (work.equals("kafka")) {
            p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
            p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        }
        return p;
    }

    private static void run(KafkaStreams streams, CountDownLatch ended) throws InterruptedException {
        boolean[] failed = {false};
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            failed[0] = true;
            ended.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        ended.await();
        streams.close();
        streams.cleanUp();
        if (failed[0]) {
            Runtime.getRuntime().halt(1);
        }
    }

    public static void main(String[] argv) throws InterruptedException {
        if (argv.length != 5 || !(argv[0].equals("drop") || argv[0].equals("kafka"))) {
            System.err.println("usage: Flights drop|kafka SERVERS TOPIC GROUP COUNT");
            System.exit(2);
        }
        CountDownLatch ended = new CountDownLatch(1);
        boolean drop = argv[0].equals("drop");
        Topology topology = drop ? drop(argv[2], Long.parseLong(argv[4]), ended) : kafka(argv[2]);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            ended.countDown();
            try {
                main.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        run(new KafkaStreams(topology, settings(argv[0], argv[1], argv[3])), ended);
        if (drop) {
            System.out.println(seen + "\t" + sum);
        }
    }
}
