// Package apache runs Apache Kafka as a process on this machine. A [Node] in KRaft mode is broker
// and controller in one, from the jars that package jars downloads. A shop has one node; [Cluster]
// returns the nodes of one cluster, for tests that lose a node. [Worker] is a Kafka Connect worker
// with Debezium, for change data capture.
//
// # What it guarantees
//
// An acknowledged record survives the death of the process by any signal, because Kafka has passed
// it to the kernel by then. It does not survive a power cut of the only node: Kafka by default, and
// so here, relies on replicas and not on fsync.
//
// # What it does not
//
// One node is one copy. Nothing here is a cluster for production; see the documentation of Apache
// Kafka for what that needs.
//
// Topics are never created automatically: a missing topic is a visible error, not six partitions
// with the broker's defaults.
package apache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/local/process"
)

// Node is one node of Apache Kafka with its data folder.
type Node struct {
	Java string // the java program
	Jars string // folder with Kafka's jars
	Dir  string // created if missing; one node uses it at a time
	Port int    // of the listener for clients, on 127.0.0.1
	// Controller is the port on 127.0.0.1 of the node's controller.
	Controller int
	// Secure adds a listener with TLS and SASL/SCRAM; nil is none.
	Secure *Secure
	// Config adds to server.properties or overrides it, for example message.max.bytes.
	Config map[string]string
	// ID is the cluster's id, which all its nodes share; if "", formatting the storage creates one.
	ID string
}

// heap is a node's heap for a shop. It is enough for weeks of play, and leaves a machine of 4 GB
// memory for the page cache and the rest.
const heap = "256m"

// Prepare prepares the node's folder for its first start: it writes the configuration and formats
// the storage once with a cluster id. It is safe to call before each start.
func (n Node) Prepare(ctx context.Context) error {
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		return fmt.Errorf("prepare Kafka: %w", err)
	}
	for name, text := range map[string]string{"server.properties": n.properties(), "log4j2.properties": log4j} {
		// The configuration may contain the passwords of keys.
		if err := os.WriteFile(filepath.Join(n.Dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("prepare Kafka: %w", err)
		}
	}
	_, err := os.Stat(filepath.Join(n.data(), "meta.properties"))
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("prepare Kafka: %w", err)
	}
	// The data of a node that died while it was formatted. It contains nothing of value yet.
	if err := os.RemoveAll(n.data()); err != nil {
		return fmt.Errorf("prepare Kafka: %w", err)
	}
	id := cmp.Or(n.ID, clusterID(uuid.New()))
	args := append(n.program("kafka.tools.StorageTool"), "format", "--cluster-id", id, "--config", filepath.Join(n.Dir, "server.properties"))
	for _, u := range n.Secure.users() {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", u.Mechanism, u.Name, u.Password))
	}
	if out, err := exec.CommandContext(ctx, n.Java, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's storage in %s: %w\n%s", n.data(), err, out)
	}
	return nil
}

// Spec returns how to run the node. Its output, Kafka's log, goes to the file log.
func (n Node) Spec(name, log string) process.Spec {
	return process.Spec{
		Name: name, Path: n.Java, Dir: n.Dir, Log: log, Env: os.Environ(),
		Args: append(n.program("kafka.Kafka"), filepath.Join(n.Dir, "server.properties")),
	}
}

// program returns the arguments with which java runs one of Kafka's classes.
func (n Node) program(class string) []string {
	return []string{
		"-Xms" + heap, "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + filepath.Join(n.Dir, "log4j2.properties"),
		"-cp", filepath.Join(n.Jars, "*"), class,
	}
}

func (n Node) data() string { return filepath.Join(n.Dir, "data") }

// properties returns settings for one node with little memory and for a shop that is observed: a
// new group does not wait for more members, and internal topics have a few partitions instead of
// fifty, so that starts and stops are quick.
func (n Node) properties() string {
	client, controller := fmt.Sprintf("127.0.0.1:%d", n.Port), fmt.Sprintf("127.0.0.1:%d", n.Controller)
	listeners := "PLAINTEXT://" + client
	protocols := "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
	if n.Secure != nil {
		listeners += fmt.Sprintf(",SECURE://127.0.0.1:%d", n.Secure.Port)
		protocols += ",SECURE:SASL_SSL"
	}
	settings := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.voters":                         "1@" + controller,
		"controller.listener.names":                        "CONTROLLER",
		"listeners":                                        listeners + ",CONTROLLER://" + controller,
		"advertised.listeners":                             listeners,
		"listener.security.protocol.map":                   protocols,
		"inter.broker.listener.name":                       "PLAINTEXT",
		"log.dirs":                                         n.data(),
		"auto.create.topics.enable":                        "false",
		"default.replication.factor":                       "1",
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "5",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
		"num.network.threads":                              "2",
		"num.io.threads":                                   "4",
		"background.threads":                               "2",
		// After a kill, the node's own controller refuses it until the session of its last life has
		// expired: 9 s by default, which makes a restart take 12 s.
		"broker.heartbeat.interval.ms": "500",
		"broker.session.timeout.ms":    "3000",
		// 128 MiB by default, half of the heap.
		"log.cleaner.dedupe.buffer.size": "16777216",
	}
	for k, v := range n.Secure.settings() {
		settings[k] = v
	}
	for k, v := range n.Config {
		settings[k] = v
	}
	return properties(settings)
}

// log4j sends Kafka's log to standard output, without the messages about each partition.
const log4j = `status = error
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %m (%c{1})%n
logger.partitions.name = state.change.logger
logger.partitions.level = warn
`

// clusterID formats an id as Kafka does, as base64 for URLs. It never begins with a dash, which
// Kafka's tools would take for a flag.
func clusterID(id uuid.UUID) string {
	return strings.Replace(kafkaUUID(id), "-", "A", 1)
}
