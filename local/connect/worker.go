// Package connect runs change data capture: a worker of Kafka Connect with Debezium as a
// process on this machine, and what is asked of any worker over its REST interface.
//
// # What it guarantees
//
// A connector made by [Connector.Settings] sends the same records as the polling relay of
// package outbox: keys, payloads, headers with their order, partitions. Only the records'
// timestamps differ. It confirms a position in the database's log only after everything
// before it was committed to Kafka: that is what Connect's exactly-once support is for here,
// see docs/adr/0005-change-data-capture.md.
//
// # What it does not
//
// Records can come twice after a crash, as from the polling relay: those of a transaction
// that Kafka aborted are seen by consumers that read uncommitted ones.
package connect

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"eventshop.example/local/process"
)

// Worker is one worker of Kafka Connect in distributed mode.
type Worker struct {
	Java    string   // the java program
	Jars    string   // folder with the jars of the set jars.Connect
	Dir     string   // created when missing; one worker uses it at a time
	Port    int      // of its REST interface, on 127.0.0.1
	Brokers []string // host:port
	// Config adds to the worker's properties or overrides them.
	Config map[string]string
}

// heap is enough for four connectors whose queues are bounded by queueBytes.
const heap = "256m"

// URL is that of the worker's REST interface.
func (w Worker) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", w.Port) }

// Prepare writes the worker's configuration. It is safe to call before each start.
func (w Worker) Prepare() error {
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return fmt.Errorf("prepare Kafka Connect: %w", err)
	}
	settings := Settings(w.Brokers)
	settings["listeners"] = w.URL()
	maps.Copy(settings, w.Config)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s=%s\n", k, settings[k])
	}
	for name, text := range map[string]string{"connect.properties": b.String(), "log4j2.properties": log4j} {
		if err := os.WriteFile(filepath.Join(w.Dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("prepare Kafka Connect: %w", err)
		}
	}
	return nil
}

// Spec says how the worker is run. Its output goes to the file log.
func (w Worker) Spec(name, log string) process.Spec {
	return process.Spec{
		Name: name, Path: w.Java, Dir: w.Dir, Log: log, Env: os.Environ(),
		Args: []string{
			"-Xms" + heap, "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dlog4j2.configurationFile=" + filepath.Join(w.Dir, "log4j2.properties"),
			"-cp", filepath.Join(w.Jars, "*"), "org.apache.kafka.connect.cli.ConnectDistributed",
			filepath.Join(w.Dir, "connect.properties"),
		},
	}
}

// Settings are the properties every worker of ours needs, on one node of Kafka; a cluster
// wants the factors of replication raised. The names of its topics begin with an underscore
// as those of Kafka's own do: they are nobody's to reconcile.
func Settings(brokers []string) map[string]string {
	return map[string]string{
		"bootstrap.servers":          strings.Join(brokers, ","),
		"group.id":                   "eventshop-connect",
		"key.converter":              "org.apache.kafka.connect.json.JsonConverter",
		"value.converter":            "org.apache.kafka.connect.json.JsonConverter",
		"plugin.discovery":           "service_load",
		"config.providers":           "dir", // ${dir:/run/secrets:name}: passwords stay out of the config topic
		"config.providers.dir.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",

		"config.storage.topic": "_connect.configs", "config.storage.replication.factor": "1",
		"offset.storage.topic": "_connect.offsets", "offset.storage.replication.factor": "1", "offset.storage.partitions": "1",
		"status.storage.topic": "_connect.status", "status.storage.replication.factor": "1", "status.storage.partitions": "1",

		// A topic that is missing must be made as it is declared, and not by the way.
		"topic.creation.enable": "false",
		// See the package comment. A new cluster needs no preparing phase.
		"exactly.once.source.support": "enabled",
		"offset.flush.interval.ms":    "1000",
		// While the broker is away no task can stop, and one that has not by then is left behind;
		// what Debezium makes of that is said in Connector.Settings. Longer would not do: a task
		// that is told to stop while it starts waits for the worker, which waits for it.
		"task.shutdown.graceful.timeout.ms": "30000",
		// A worker that died is missed after the session; the default is 5 min until its
		// connectors go elsewhere.
		"scheduled.rebalance.max.delay.ms": "5000",
	}
}

const log4j = `status = error
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %m (%c{1})%n
logger.clients.name = org.apache.kafka.clients
logger.clients.level = warn
logger.configs.name = org.apache.kafka.common.config.AbstractConfig
logger.configs.level = warn
logger.reflections.name = org.reflections
logger.reflections.level = error
logger.rest.name = org.apache.kafka.connect.runtime.rest.RestServer
logger.rest.level = warn
`
