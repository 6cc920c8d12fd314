package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/retry"
)

// failures reads what every service stores about records that it failed to handle. For records that
// were repaired and then handled, it lists what cannot be decoded here.
func failures(ctx context.Context, conns map[string]*pgx.Conn, d *decoders) (f Failures, undecoded []Undecoded, err error) {
	for _, service := range installed(conns) {
		c := conns[service]
		for _, load := range []func(context.Context, string, *pgx.Conn) error{
			f.parkedKeys, f.parkedRecords, f.deadLetters(d, &undecoded), f.givenUp, f.actions, f.unpublished,
		} {
			if err := load(ctx, service, c); err != nil {
				return f, nil, fmt.Errorf("%s: %w", service, err)
			}
		}
	}
	return f, undecoded, nil
}

func (f *Failures) parkedKeys(ctx context.Context, service string, c *pgx.Conn) error {
	rows, err := collect(ctx, c, `SELECT consumer_group, topic, key, head, state FROM parked_keys ORDER BY 1, 2, 3`,
		func(r pgx.CollectableRow) (k ParkedKey, err error) {
			k.Service = service
			var key []byte
			err = r.Scan(&k.Group, &k.Topic, &key, &k.Head, &k.State)
			k.Key = string(key)
			return k, err
		})
	f.ParkedKeys = append(f.ParkedKeys, rows...)
	return err
}

func (f *Failures) parkedRecords(ctx context.Context, service string, c *pgx.Conn) error {
	rows, err := collect(ctx, c, `SELECT consumer_group, topic, key, position, record_partition, record_offset, record_time,
		inbox_id, dead_letter, arrived_at FROM parked_records ORDER BY consumer_group, position`,
		func(r pgx.CollectableRow) (p ParkedRecord, err error) {
			p.Service = service
			var key []byte
			var at time.Time
			var letter *uuid.UUID
			err = r.Scan(&p.Group, &p.Place.Topic, &key, &p.Position, &p.Place.Partition, &p.Place.Offset, &at, &p.InboxID, &letter, &p.ArrivedAt)
			p.Key, p.Place.Millis, p.DeadLetter = string(key), at.UnixMilli(), orNil(letter)
			return p, err
		})
	f.ParkedRecords = append(f.ParkedRecords, rows...)
	return err
}

func orNil(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

func (f *Failures) deadLetters(d *decoders, undecoded *[]Undecoded) func(context.Context, string, *pgx.Conn) error {
	return func(ctx context.Context, service string, c *pgx.Conn) error {
		var repaired []*kgo.Record // the edited records, parallel to rows
		rows, err := collect(ctx, c, `SELECT id, consumer_group, topic, record_key, record_partition, record_offset, record_time, payload, headers,
			inbox_id, event_id, event_type, status, parks, created_at, edited_key, edited_payload, edited_headers
			FROM dead_letters ORDER BY id`,
			func(r pgx.CollectableRow) (l DeadLetter, err error) {
				l.Service = service
				var key, payload, editedKey, editedPayload []byte
				var at time.Time
				var eventID *uuid.UUID
				var headers, edited []event.Header // edited stays nil until an operator edits
				err = r.Scan(&l.ID, &l.Group, &l.Place.Topic, &key, &l.Place.Partition, &l.Place.Offset, &at, &payload, &headers,
					&l.InboxID, &eventID, &l.Type, &l.Status, &l.Parks, &l.CreatedAt, &editedKey, &editedPayload, &edited)
				l.Key, l.Place.Millis, l.EventID, l.Sum = string(key), at.UnixMilli(), orNil(eventID), sumOf(key, payload, headers)
				var fixed *kgo.Record
				if edited != nil {
					fixed = &kgo.Record{
						Topic: l.Place.Topic, Partition: l.Place.Partition, Offset: l.Place.Offset, Timestamp: at.UTC(),
						Key: editedKey, Value: editedPayload,
					}
					for _, h := range edited {
						fixed.Headers = append(fixed.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
					}
				}
				repaired = append(repaired, fixed)
				return l, err
			})
		if err != nil {
			return err
		}
		for i, fixed := range repaired {
			if fixed == nil {
				continue
			}
			// The group's service has written the repaired value, and reads it.
			rec, err := recordOf(ctx, d, service, fixed)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil && rows[i].Status == "resolved" { // otherwise it may be as undecodable as before
				u := d.undecodedOf(rec, service, fixed.Value, err)
				u.Group = rows[i].Group
				*undecoded = append(*undecoded, u)
			}
			rows[i].Repaired = &rec
		}
		f.DeadLetters = append(f.DeadLetters, rows...)
		return nil
	}
}

func (f *Failures) givenUp(ctx context.Context, service string, c *pgx.Conn) error {
	rows, err := collect(ctx, c, `SELECT consumer_group, topic, record_partition, record_offset, record_time, key, dead_letter, decision
		FROM given_up WHERE decision <> 'skip' AND record_time IS NOT NULL ORDER BY 1, 2, 3, 4`,
		func(r pgx.CollectableRow) (g GivenUp, err error) {
			g.Service = service
			var at time.Time
			var key []byte
			var letter *uuid.UUID
			err = r.Scan(&g.Group, &g.Place.Topic, &g.Place.Partition, &g.Place.Offset, &at, &key, &letter, &g.Decision)
			g.Place.Millis, g.Key, g.DeadLetter = at.UnixMilli(), string(key), orNil(letter)
			if g.Decision == "skipped" { // discarded before there was a dead letter
				g.Decision = "discarded"
			}
			return g, err
		})
	f.GivenUp = append(f.GivenUp, rows...)
	return err
}

func (f *Failures) actions(ctx context.Context, service string, c *pgx.Conn) error {
	type line struct {
		letter uuid.UUID
		Action
	}
	lines, err := collect(ctx, c, `SELECT dead_letter, actor, action, detail FROM dead_letter_actions ORDER BY id`,
		func(r pgx.CollectableRow) (l line, err error) {
			return l, r.Scan(&l.letter, &l.Actor, &l.Action.Action, &l.Detail)
		})
	if err != nil {
		return err
	}
	of := map[uuid.UUID][]Action{}
	for _, l := range lines {
		of[l.letter] = append(of[l.letter], l.Action)
	}
	for i := range f.DeadLetters {
		if l := &f.DeadLetters[i]; l.Service == service {
			l.Actions = of[l.ID]
		}
	}
	return nil
}

// unpublished reads the retry records and copies of dead letters that are still in the outbox.
func (f *Failures) unpublished(ctx context.Context, service string, c *pgx.Conn) error {
	_, err := collect(ctx, c, `SELECT topic, key, payload, headers, created_at FROM outbox WHERE id IN (SELECT id FROM outbox_queue WHERE raw)`,
		func(r pgx.CollectableRow) (struct{}, error) {
			var topic string
			var key, payload, encoded []byte
			var headers []event.Header
			var at time.Time
			err := r.Scan(&topic, &key, &payload, &encoded, &at)
			if err == nil && encoded != nil {
				err = json.Unmarshal(encoded, &headers)
			}
			if err == nil {
				f.sort(topic, key, payload, headers, at)
			}
			return struct{}{}, err
		})
	return err
}

// own reports whether a topic is a group's own, for its failures: no record on it is an event.
func own(topic string) bool {
	return strings.HasSuffix(topic, ".retry") || strings.HasSuffix(topic, ".dlq")
}

// sort classifies a record of a group's own topic. A record that is neither a retry record nor the
// copy of a dead letter comes from a foreign producer and has no effect.
func (f *Failures) sort(topic string, key, value []byte, headers []event.Header, at time.Time) {
	if strings.HasSuffix(topic, ".retry") {
		if r, ok := retryOf(topic, key, value, headers); ok {
			f.Retries = append(f.Retries, r)
		}
		return
	}
	if c, ok := copyOf(topic, key, value, headers, at); ok {
		f.Copies = append(f.Copies, c)
	}
}

func retryOf(topic string, key, value []byte, headers []event.Header) (Retry, bool) {
	group, _ := last(headers, retry.HeaderRetryGroup)
	h, _, err := retry.ParseHead(group, key, value, headers)
	if err != nil {
		return Retry{}, false
	}
	return Retry{
		Topic: topic, Group: group, Key: string(key), ID: h.ID, Place: Place{h.Topic, h.Partition, h.Offset, h.Time.UnixMilli()},
		InboxID: h.InboxID, DeadLetter: h.DeadLetter, Attempts: h.Attempts, Skip: h.Skip,
	}, true
}

// copyOf splits a copy. The original's headers come first, and may themselves be those of a dead
// letter.
func copyOf(topic string, key, value []byte, headers []event.Header, at time.Time) (Copy, bool) {
	letter, begin := last(headers, retry.HeaderDLQID)
	id, err := uuid.Parse(letter)
	if err != nil {
		return Copy{}, false
	}
	group, _ := last(headers, retry.HeaderDLQGroup)
	omitted := slices.ContainsFunc(headers[begin:], func(h event.Header) bool { return h.Key == retry.HeaderDLQPayloadOmitted })
	return Copy{topic, group, string(key), id, sumOf(key, value, headers[:begin]), omitted, at}, true
}

// last returns the value and the index of the last header of that name.
func last(headers []event.Header, name string) (string, int) {
	for i, h := range slices.Backward(headers) {
		if h.Key == name {
			return string(h.Value), i
		}
	}
	return "", -1
}
