package apache

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
	Dir     string   // created if missing; one worker uses it at a time
	Port    int      // of its REST interface, on 127.0.0.1
	Brokers []string // host:port
	// Config adds to the worker's properties or overrides them.
	Config map[string]string
}

// workerHeap is enough for four connectors whose queues hold 16 MiB each.
const workerHeap = "256m"

// URL returns the URL of the worker's REST interface.
func (w Worker) URL() string { return fmt.Sprintf("http://127.0.0.1:%d", w.Port) }

// Prepare writes the worker's configuration. It is safe to call before each start.
func (w Worker) Prepare() error {
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return fmt.Errorf("prepare Kafka Connect: %w", err)
	}
	settings := WorkerSettings(w.Brokers)
	settings["listeners"] = w.URL()
	maps.Copy(settings, w.Config)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s=%s\n", k, settings[k])
	}
	for name, text := range map[string]string{"connect.properties": b.String(), "log4j2.properties": workerLog} {
		if err := os.WriteFile(filepath.Join(w.Dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("prepare Kafka Connect: %w", err)
		}
	}
	return nil
}

// Spec returns how to run the worker. Its output goes to the file log.
func (w Worker) Spec(name, log string) process.Spec {
	return process.Spec{
		Name: name, Path: w.Java, Dir: w.Dir, Log: log, Env: os.Environ(),
		Args: []string{
			"-Xms" + workerHeap, "-Xmx" + workerHeap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dlog4j2.configurationFile=" + filepath.Join(w.Dir, "log4j2.properties"),
			"-cp", filepath.Join(w.Jars, "*"), "org.apache.kafka.connect.cli.ConnectDistributed",
			filepath.Join(w.Dir, "connect.properties"),
		},
	}
}

// WorkerSettings returns the properties that every worker of the shop needs on a single Kafka node.
// On a cluster, raise the replication factors. The names of its topics begin with an underscore, as
// Kafka's own internal topics do: no shop command reconciles them.
func WorkerSettings(brokers []string) map[string]string {
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

		// A missing topic must be created as declared, not implicitly.
		"topic.creation.enable": "false",
		// A connector must confirm a position only after everything before it is committed to
		// Kafka, see package ops/connect. A new cluster needs no preparing phase.
		"exactly.once.source.support": "enabled",
		"offset.flush.interval.ms":    "1000",
		// While the broker is unavailable no task can stop, and a task that has not stopped within
		// this time is left behind; Connector.Settings in package ops/connect describes the
		// consequence for Debezium. A longer time would not help: a task that is stopped while it
		// starts waits for the worker, which waits for the task.
		"task.shutdown.graceful.timeout.ms": "30000",
		// A dead worker is noticed when its session expires. By default, its connectors then wait 5
		// min before they move to another worker.
		"scheduled.rebalance.max.delay.ms": "5000",
	}
}

const workerLog = `status = error
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
