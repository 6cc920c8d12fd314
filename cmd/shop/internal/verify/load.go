package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/schema"
)

// Sources says where the facts are. DSN has one Postgres URL for each of order,
// payment, inventory, shipping and projection.
type Sources struct {
	DSN         map[string]string
	Kafka       kafka.Cluster
	RegistryURL string
	GatewayURL  string
}

// readings is how often the facts are read at most. What is retried may move while they
// are read, and facts of two moments do not fit together.
const readings = 3

// Load reads all facts. It waits, at most settle, until the system is at rest: no order
// under way but those held by a failed event, no outbox row unpublished, no event unread
// by its groups, no retry due.
func Load(ctx context.Context, src Sources, settle time.Duration) (Facts, error) {
	conns := map[string]*pgx.Conn{}
	for service, dsn := range src.DSN {
		c, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return Facts{}, fmt.Errorf("connect to %s's database: %w", service, err)
		}
		defer c.Close(context.WithoutCancel(ctx))
		conns[service] = c
	}
	if err := rest(ctx, src, conns, settle); err != nil {
		return Facts{}, err
	}
	codec := schema.NewCodec(schema.NewClient(src.RegistryURL))
	for n := 1; ; n++ {
		before, err := position(ctx, conns)
		if err != nil {
			return Facts{}, err
		}
		f, err := read(ctx, src, conns, codec)
		if err != nil {
			return Facts{}, err
		}
		after, err := position(ctx, conns)
		if err != nil || before == after || n == readings {
			return f, err
		}
	}
}

// position changes whenever a service has written an outbox row, published one, or moved
// a parked key on.
func position(ctx context.Context, conns map[string]*pgx.Conn) (string, error) {
	all := ""
	for _, group := range groups() {
		var at string
		err := conns[group].QueryRow(ctx, `SELECT concat_ws(' ',
			(SELECT concat_ws(' ', max(seq), count(published_at)) FROM outbox),
			(SELECT string_agg(head::text, ' ' ORDER BY head) FROM parked_keys))`).Scan(&at)
		if err != nil {
			return "", fmt.Errorf("%s's position: %w", group, err)
		}
		all += at + "\n"
	}
	return all, nil
}

func read(ctx context.Context, src Sources, conns map[string]*pgx.Conn, codec *schema.Codec) (Facts, error) {
	f := Facts{At: time.Now()}
	for _, step := range []struct {
		what string
		load func() error
	}{
		{"snapshot", func() error { return all(ctx, conns, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`) }},
		{"order streams", func() (err error) { f.Orders, err = orders(ctx, conns["order"]); return }},
		{"stored answers", func() (err error) { f.Answers, err = storedAnswers(ctx, conns["order"]); return }},
		{"payments", func() (err error) { f.Payments, err = payments(ctx, conns["payment"]); return }},
		{"stock", func() (err error) { f.Stock, err = stockRows(ctx, conns["inventory"]); return }},
		{"reservations", func() (err error) { f.Reservations, err = reservations(ctx, conns["inventory"]); return }},
		{"outboxes", func() (err error) { f.Outbox, err = outboxes(ctx, conns); return }},
		{"inboxes", func() (err error) { f.Inbox, err = inboxes(ctx, conns); return }},
		{"read models", func() (err error) { f.Projection, err = readModels(ctx, conns["projection"]); return }},
		{"failures", func() (err error) { f.Failures, err = failures(ctx, conns, codec); return }},
		// The snapshots end before the topics are read: they would hold up whoever drops a
		// table's partition.
		{"snapshot", func() error { return all(ctx, conns, `COMMIT`) }},
		{"topics", func() error { return readTopics(ctx, src, codec, &f) }},
		{"gateway's ledger", func() (err error) { f.Ledger, err = ledger(ctx, src.GatewayURL); return }},
	} {
		if err := step.load(); err != nil {
			return Facts{}, fmt.Errorf("read %s: %w", step.what, err)
		}
	}
	f.Rebuilt = Rebuild(heard(f))
	return f, nil
}

// all runs a statement in every database.
func all(ctx context.Context, conns map[string]*pgx.Conn, sql string) error {
	for service, c := range conns {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
	}
	return nil
}

// collect runs a query and scans every row.
func collect[T any](ctx context.Context, c *pgx.Conn, sql string, scan func(pgx.CollectableRow) (T, error)) ([]T, error) {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

func outboxes(ctx context.Context, conns map[string]*pgx.Conn) ([]OutboxRow, error) {
	var out []OutboxRow
	for service, c := range conns {
		rows, err := collect(ctx, c, `SELECT id, topic, event_type, aggregate_id, coalesce(nullif(ce_causationid, id::text), ''),
			published_at IS NOT NULL, ce_specversion IS NULL FROM outbox`,
			func(r pgx.CollectableRow) (o OutboxRow, err error) {
				o.Service = service
				return o, r.Scan(&o.ID, &o.Topic, &o.Type, &o.AggregateID, &o.CausationID, &o.Published, &o.Raw)
			})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

func inboxes(ctx context.Context, conns map[string]*pgx.Conn) ([]InboxRow, error) {
	var out []InboxRow
	for service, c := range conns {
		rows, err := collect(ctx, c, `SELECT consumer_group, message_id FROM inbox`,
			func(r pgx.CollectableRow) (o InboxRow, err error) {
				o.Service = service
				return o, r.Scan(&o.Group, &o.ID)
			})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}
