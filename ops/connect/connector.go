package connect

import (
	"fmt"
	"maps"
	"strings"

	"eventshop.example/pkg/event"
)

// Publication is the publication that the outbox's migrations create.
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

// Name returns the connector's name, outbox-<service>.
func (c Connector) Name() string { return NameOf(c.Service) }

// NameOf returns the name of a service's connector.
func NameOf(service string) string { return "outbox-" + service }

// HeartbeatTopic returns the topic of a connector's heartbeats. While the outbox is idle, these
// records keep the connector's stored position up to date. Without them it would fall behind the
// slot's position, and a restarted connector would refuse to continue.
func HeartbeatTopic(service string) event.Topic {
	return event.Topic{Name: "_heartbeat." + service, Partitions: 1, Config: map[string]string{"retention.ms": "3600000"}}
}

// queueBytes bounds the changes that a connector buffers in memory.
const queueBytes = 16 << 20

// headers pairs each header of an event with its column, in the order of event.Envelope.Headers.
var headers = []struct{ column, header string }{
	{"ce_specversion", event.HeaderSpecVersion},
	{"id", event.HeaderID},
	{"ce_source", event.HeaderSource},
	{"event_type", event.HeaderType},
	{"aggregate_id", event.HeaderSubject},
	{"ce_time", event.HeaderTime},
	{"ce_aggregateversion", event.HeaderAggregateVersion},
	{"content_type", event.HeaderContentType},
	{"ce_sagastyle", event.HeaderStyle},
	{"ce_correlationid", event.HeaderCorrelationID},
	{"ce_causationid", event.HeaderCausationID},
	{"traceparent", event.HeaderTraceParent},
	{"tracestate", event.HeaderTraceState},
}

// Settings returns the connector's configuration.
func (c Connector) Settings() map[string]string {
	var placement []string
	for _, h := range headers {
		placement = append(placement, h.column+":header:"+h.header)
	}
	s := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector",
		"tasks.max":       "1", // one task reads a slot; more would break the order
		"topic.prefix":    c.Service,

		"database.hostname": c.Host,
		"database.port":     fmt.Sprint(c.Port),
		"database.dbname":   c.Database,
		"database.user":     c.User,
		"database.password": c.Password,

		"plugin.name":       "pgoutput",
		"slot.name":         c.Slot,
		"slot.drop.on.stop": "false",
		// A task that was left behind, such as one of a dead worker's, reads its slot for ever, and
		// no other task can read it. When such a task is stopped it first asks for its offset,
		// fails, and does not stop (BaseSourceTask.stop, 3.3 to 3.5). So a new task ends the slot's
		// reader, unless that reader has just begun: this statement runs on every connection, also
		// on the reader's own connection for heartbeats.
		"database.initial.statements": fmt.Sprintf(`SELECT pg_terminate_backend(r.active_pid) FROM pg_replication_slots r
			JOIN pg_stat_activity a ON a.pid = r.active_pid WHERE r.slot_name = '%s' AND a.backend_start < now() - interval '20 s'`, c.Slot),
		"publication.name":            Publication,
		"publication.autocreate.mode": "disabled",
		"table.include.list":          "public.outbox",
		"snapshot.mode":               "no_data", // starts at the slot's position; the slot was created before

		// A write every few seconds moves the slot on while the outbox is idle and the rest of the
		// server is busy: all databases of a server share one log. The write is in a transaction,
		// because positions outside transactions are not in order with the others.
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
		// A row from before a column was added is read from the log without it.
		"transforms.outbox.table.fields.additional.error.on.missing": "false",
		"transforms.outbox.table.op.invalid.behavior":                "fatal",
		// ce_id under the router's own name.
		"transforms.id.type":    "org.apache.kafka.connect.transforms.DropHeaders",
		"transforms.id.headers": "id",
		// Debezium's own headers would be added to those of the event in every record.
		"extended.headers.enabled": "false",

		"header.converter":     "org.apache.kafka.connect.storage.StringConverter",
		"tombstones.on.delete": "false",
		"errors.tolerance":     "none",

		"exactly.once.support":             "required",
		"transaction.boundary":             "interval",
		"transaction.boundary.interval.ms": "1000",

		// Latency: by default the connector looks for changes twice a second.
		"poll.interval.ms":        "10",
		"max.queue.size":          "8192",
		"max.batch.size":          "2048",
		"max.queue.size.in.bytes": fmt.Sprint(queueBytes),
		// The database may be unavailable for longer than the default of ten attempts.
		"errors.max.retries":                  "-1",
		"retriable.restart.connector.wait.ms": "2000",
		"slot.max.retries":                    "1000000",
		"slot.retry.delay.ms":                 "2000",

		"producer.override.acks":               "all",
		"producer.override.enable.idempotence": "true", // keeps the order of records in flight
		"producer.override.linger.ms":          "0",
		// The brokers' limit, see outbox.MaxRaw: the client counts more bytes than the record's.
		"producer.override.max.request.size": "1048588",
	}
	// Payloads and keys are sent as they are. Heartbeats are not bytes.
	for _, side := range []string{"key", "value"} {
		s[side+".converter"] = "io.debezium.converters.BinaryDataConverter"
		s[side+".converter.delegate.converter.type"] = "org.apache.kafka.connect.json.JsonConverter"
		s[side+".converter.delegate.converter.type.schemas.enable"] = "false"
	}
	maps.Copy(s, c.Config)
	return s
}
