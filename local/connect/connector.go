package connect

import (
	"fmt"
	"maps"
	"strings"

	"eventshop.example/pkg/events"
)

// Publication is the one that the outbox's migrations make.
const Publication = "eventshop_outbox"

// Connector relays the outbox of one service.
type Connector struct {
	Service  string // for example "order"; also names connector and heartbeat topic
	Host     string // of the database, as the worker sees it
	Port     int
	Database string
	User     string // has REPLICATION, and may read the outbox
	// Password may be a reference that the worker resolves: ${dir:/run/secrets:order_cdc_password}.
	Password string
	Slot     string
	// Config adds to the connector's configuration or overrides it.
	Config map[string]string
}

// Name is the connector's, outbox-<service>.
func (c Connector) Name() string { return NameOf(c.Service) }

// NameOf is the name of a service's connector.
func NameOf(service string) string { return "outbox-" + service }

// HeartbeatTopic is where a connector says that it is alive. Without these records the
// position it has stored would fall behind the slot's while nothing is published, and a
// restarted connector would refuse to go on.
func HeartbeatTopic(service string) events.Topic {
	return events.Topic{Name: "_heartbeat." + service, Partitions: 1, Config: map[string]string{"retention.ms": "3600000"}}
}

// queueBytes bounds what a connector has in memory.
const queueBytes = 16 << 20

// headers pairs each header that an event has with its column, in the order in which
// events.Envelope.Headers has them.
var headers = []struct{ column, header string }{
	{"ce_specversion", events.HeaderSpecVersion},
	{"id", events.HeaderID},
	{"ce_source", events.HeaderSource},
	{"event_type", events.HeaderType},
	{"aggregate_id", events.HeaderSubject},
	{"ce_time", events.HeaderTime},
	{"ce_aggregateversion", events.HeaderAggregateVersion},
	{"content_type", events.HeaderContentType},
	{"ce_correlationid", events.HeaderCorrelationID},
	{"ce_causationid", events.HeaderCausationID},
	{"traceparent", events.HeaderTraceParent},
	{"tracestate", events.HeaderTraceState},
}

// Settings is the connector's configuration.
func (c Connector) Settings() map[string]string {
	var placement []string
	for _, h := range headers {
		placement = append(placement, h.column+":header:"+h.header)
	}
	s := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector",
		"tasks.max":       "1", // one task reads a slot; more would not keep the order
		"topic.prefix":    c.Service,

		"database.hostname": c.Host,
		"database.port":     fmt.Sprint(c.Port),
		"database.dbname":   c.Database,
		"database.user":     c.User,
		"database.password": c.Password,

		"plugin.name":       "pgoutput",
		"slot.name":         c.Slot,
		"slot.drop.on.stop": "false",
		// A task that was left behind reads its slot for ever, which no other can any more: told
		// to stop it asks for its offset first, fails, and does not stop (BaseSourceTask.stop, 3.3
		// to 3.5). So a new one ends who reads it, unless that has just begun: this is said on
		// every connection, the reader's own for heartbeats too.
		"database.initial.statements": fmt.Sprintf(`SELECT pg_terminate_backend(r.active_pid) FROM pg_replication_slots r
			JOIN pg_stat_activity a ON a.pid = r.active_pid WHERE r.slot_name = '%s' AND a.backend_start < now() - interval '20 s'`, c.Slot),
		"publication.name":            Publication,
		"publication.autocreate.mode": "disabled",
		"table.include.list":          "public.outbox",
		"snapshot.mode":               "no_data", // starts where the slot is, which was made before

		// A write every few seconds moves the slot on while the outbox is idle and the
		// rest of the server is not: the log of all its databases is one. In a transaction,
		// since positions within one are not in order with others.
		"heartbeat.interval.ms":       "5000",
		"heartbeat.action.query":      "SELECT pg_logical_emit_message(true, 'heartbeat', '')",
		"topic.heartbeat.prefix":      "_heartbeat",
		"message.prefix.exclude.list": "heartbeat",

		"transforms":                                          "outbox,id",
		"transforms.outbox.type":                              "io.debezium.transforms.outbox.EventRouter",
		"transforms.outbox.table.field.event.id":              "id",
		"transforms.outbox.table.field.event.key":             "key",
		"transforms.outbox.table.field.event.payload":         "payload",
		"transforms.outbox.route.by.field":                    "topic",
		"transforms.outbox.route.topic.replacement":           "${routedByValue}",
		"transforms.outbox.table.fields.additional.placement": strings.Join(placement, ","),
		"transforms.outbox.table.op.invalid.behavior":         "fatal",
		// The router's own name for ce_id.
		"transforms.id.type":    "org.apache.kafka.connect.transforms.DropHeaders",
		"transforms.id.headers": "id",
		// Beside the event's own; they would be in every record.
		"extended.headers.enabled": "false",

		"header.converter":     "org.apache.kafka.connect.storage.StringConverter",
		"tombstones.on.delete": "false",
		"errors.tolerance":     "none",

		"exactly.once.support":             "required",
		"transaction.boundary":             "interval",
		"transaction.boundary.interval.ms": "1000",

		// Latency: the default is to look for changes twice a second.
		"poll.interval.ms":        "10",
		"max.queue.size":          "8192",
		"max.batch.size":          "2048",
		"max.queue.size.in.bytes": fmt.Sprint(queueBytes),
		// The database may be away for longer than the default of ten tries.
		"errors.max.retries":                  "-1",
		"retriable.restart.connector.wait.ms": "2000",
		"slot.max.retries":                    "1000000",
		"slot.retry.delay.ms":                 "2000",

		"producer.override.acks":               "all",
		"producer.override.enable.idempotence": "true", // keeps the order of what is in flight
		"producer.override.linger.ms":          "0",
		// That of the brokers, see outbox.MaxRaw: the client counts more than the record.
		"producer.override.max.request.size": "1048588",
	}
	// Payloads and keys go as they are; heartbeats are no bytes.
	for _, side := range []string{"key", "value"} {
		s[side+".converter"] = "io.debezium.converters.BinaryDataConverter"
		s[side+".converter.delegate.converter.type"] = "org.apache.kafka.connect.json.JsonConverter"
		s[side+".converter.delegate.converter.type.schemas.enable"] = "false"
	}
	maps.Copy(s, c.Config)
	return s
}
