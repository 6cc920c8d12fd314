package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// readings is how often the facts are read at most. Retried records may move during a reading, and
// facts of two moments do not fit together.
const readings = 3

// Load reads all facts. It waits until the system is at rest, for at most settle: no order under
// way except those held by a failed event, no outbox row unpublished, no event unread by its
// groups, no retry due.
//
// The error contains an [Unreachable] for each part that does not answer. A schema registry is not
// such a part: the facts list what could not be decoded without it, see [Decoded].
func Load(ctx context.Context, src Sources, settle time.Duration) (Facts, error) {
	conns, err := reach(ctx, src)
	if err != nil {
		return Facts{}, err
	}
	defer closeAll(ctx, conns)
	f, err := settleAndRead(ctx, src, conns, settle)
	return f, src.lost(conns, err)
}

func settleAndRead(ctx context.Context, src Sources, conns map[string]*pgx.Conn, settle time.Duration) (Facts, error) {
	if err := rest(ctx, src, conns, settle); err != nil {
		return Facts{}, err
	}
	d := newDecoders(src.Registries)
	for n := 1; ; n++ {
		before, err := progress(ctx, conns)
		if err != nil {
			return Facts{}, err
		}
		d.begin()
		f, err := read(ctx, src, conns, d)
		if err != nil {
			return Facts{}, err
		}
		after, err := progress(ctx, conns)
		if err != nil || before == after || n == readings {
			return f, err
		}
	}
}

// progress returns a value that changes whenever a service writes or publishes an outbox row, or
// moves a parked key on.
func progress(ctx context.Context, conns map[string]*pgx.Conn) (string, error) {
	all := ""
	for _, group := range installed(conns) {
		var at string
		err := conns[group].QueryRow(ctx, `SELECT concat_ws(' ',
			(SELECT concat_ws(' ', max(seq), count(*), (SELECT concat_ws(' ', count(*), sum(publication)) FROM outbox_queue)) FROM outbox),
			(SELECT string_agg(head::text, ' ' ORDER BY head) FROM parked_keys))`).Scan(&at)
		if err != nil {
			return "", fmt.Errorf("%s's progress: %w", group, err)
		}
		all += at + "\n"
	}
	return all, nil
}

func read(ctx context.Context, src Sources, conns map[string]*pgx.Conn, d *decoders) (Facts, error) {
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
		{"sagas", func() error { return f.readSagas(ctx, conns) }},
		{"styles", func() (err error) { f.Styles, err = storedStyles(ctx, conns); return }},
		{"mails", func() (err error) { f.Mails, f.MailsSince, err = mailRows(ctx, conns[mailer]); return }},
		{"outboxes", func() (err error) { f.Outbox, err = outboxes(ctx, conns); return }},
		{"inboxes", func() (err error) { f.Inbox, err = inboxes(ctx, conns); return }},
		{"positions", func() error { return f.positions(ctx, conns) }},
		{"read models", func() (err error) { f.Projection, err = readModels(ctx, conns["projection"]); return }},
		{"failures", func() (err error) { f.Failures, f.Undecoded, err = failures(ctx, conns, d); return }},
		// The snapshots end before the topics are read: an open snapshot would block the drop of a
		// table's partition.
		{"snapshot", func() error { return all(ctx, conns, `COMMIT`) }},
		{"topics", func() error { return readTopics(ctx, src, d, &f) }},
		{"gateway's ledger", func() (err error) { f.Ledger, err = ledger(ctx, src.GatewayURL); return }},
		{"mailbox", func() (err error) { f.Mailbox, err = mailbox(ctx, src.MailboxURL); return }},
	} {
		if src.Reading != nil {
			src.Reading(step.what)
		}
		if err := step.load(); err != nil {
			return Facts{}, fmt.Errorf("read %s: %w", step.what, err)
		}
	}
	f.Undecoded = blameless(f)
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
		rows, err := collect(ctx, c, `SELECT id, topic, event_type, aggregate_type, aggregate_id, coalesce(nullif(ce_causationid, id::text), ''),
			NOT EXISTS (SELECT FROM outbox_queue q WHERE q.shard = o.shard AND q.seq = o.seq), ce_specversion IS NULL, sha256(payload) FROM outbox o`,
			func(r pgx.CollectableRow) (o OutboxRow, err error) {
				o.Service = service
				var content []byte
				err = r.Scan(&o.ID, &o.Topic, &o.Type, &o.AggregateType, &o.AggregateID, &o.CausationID, &o.Published, &o.Raw, &content)
				copy(o.Content[:], content)
				return o, err
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
