package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
)

// Parked returns which of the keys are parked. Without hold it is a look before a call to the
// outside world. With hold it locks the parked keys until the transaction ends, so that the
// transaction that releases a key never misses a record that is appended behind the head. q must
// then be the transaction, and the call must come after the inbox rows were inserted: a second
// owner of the partition waits there for the first.
func (s *Store) Parked(ctx context.Context, q postgres.Querier, hold bool, keys []Key) (map[Key]bool, error) {
	parked := map[Key]bool{}
	if len(keys) == 0 {
		return parked, nil
	}
	topics, raw := make([]string, len(keys)), make([][]byte, len(keys))
	for i, k := range keys {
		topics[i], raw[i] = k.Topic, []byte(k.Key)
	}
	// All callers lock in the same order, and wait for no other lock while they have these.
	query := `SELECT p.topic, p.key FROM parked_keys p
		JOIN (SELECT DISTINCT topic, key FROM unnest($2::text[], $3::bytea[]) AS a (topic, key)) k
		  ON p.topic = k.topic AND p.key = k.key
		WHERE p.consumer_group = $1 ORDER BY p.topic, p.key`
	if hold {
		query += ` FOR SHARE OF p`
	}
	rows, err := q.Query(ctx, query, s.group, topics, raw)
	if err == nil {
		var topic string
		var key []byte
		_, err = pgx.ForEachRow(rows, []any{&topic, &key}, func() error {
			parked[Key{topic, string(key)}] = true
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("look for parked keys: %w", err))
	}
	return parked, nil
}

// Follower is a record that waits behind the head of its key.
type Follower struct {
	Position int64 // its place in the queue; assigned by Follow
	Record
	InboxID    uuid.UUID
	EventType  string
	DeadLetter uuid.UUID // resubmitted while another record parked its key, or uuid.Nil
}

// Head returns the head that the follower becomes at its turn.
func (f Follower) Head(notBefore time.Time) Head {
	return Head{Record: f.Record, InboxID: f.InboxID, EventType: f.EventType, DeadLetter: f.DeadLetter, NotBefore: notBefore}
}

// Follow appends records to the queues of their parked keys, in the given order and with one
// statement.
func (s *Store) Follow(ctx context.Context, tx pgx.Tx, followers ...Follower) error {
	n := len(followers)
	if n == 0 {
		return nil
	}
	topics, keys, recordKeys, inbox, letters := make([]string, n), make([][]byte, n), make([][]byte, n), make([]uuid.UUID, n), make([]*uuid.UUID, n)
	types, partitions, offsets, times := make([]string, n), make([]int32, n), make([]int64, n), make([]time.Time, n)
	payloads, headers := make([][]byte, n), make([]string, n)
	for i, f := range followers {
		topics[i], keys[i], recordKeys[i], inbox[i], types[i] = f.Topic, []byte(f.ParkedKey().Key), f.Key, f.InboxID, f.EventType
		partitions[i], offsets[i], times[i], payloads[i] = f.Partition, f.Offset, f.Time, f.Value
		if f.DeadLetter != uuid.Nil {
			letters[i] = &followers[i].DeadLetter
		}
		h, err := encodeHeaders(f.Headers)
		if err != nil {
			return err
		}
		headers[i] = h
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO parked_records (consumer_group, topic, key, record_key, inbox_id, dead_letter, event_type,
			record_partition, record_offset, record_time, payload, headers)
		SELECT $1, topic, key, record_key, inbox_id, dead_letter, event_type, record_partition, record_offset, record_time, payload, headers::jsonb
		FROM unnest($2::text[], $3::bytea[], $4::bytea[], $5::uuid[], $6::uuid[], $7::text[], $8::int[], $9::bigint[], $10::timestamptz[], $11::bytea[], $12::text[])
			WITH ORDINALITY AS r (topic, key, record_key, inbox_id, dead_letter, event_type, record_partition, record_offset, record_time, payload, headers, n)
		ORDER BY n`,
		s.group, topics, keys, recordKeys, inbox, letters, types, partitions, offsets, times, payloads, headers)
	if err != nil {
		return postgres.Classify(fmt.Errorf("park %d records: %w", n, err))
	}
	return nil
}

// Park parks the keys of records that failed for the first time and writes their retry records, in
// two round trips whatever their number. A key that was parked in the meantime (by an operator's
// resubmission) is an error of kind errs.Transient: the next try finds it parked.
func (s *Store) Park(ctx context.Context, tx pgx.Tx, heads ...Head) error {
	if len(heads) == 0 {
		return nil
	}
	raws := make([]outbox.Raw, len(heads))
	var inserts pgx.Batch
	for i, h := range heads {
		h, raw, payload, err := s.rawOf(h)
		if err != nil {
			return err
		}
		raws[i] = raw
		s.queuePark(&inserts, h.ParkedKey(), "retrying", h.ID, h, payload)
	}
	if err := s.out.AppendRaw(ctx, tx, raws...); err != nil {
		return err
	}
	return postgres.Classify(tx.SendBatch(ctx, &inserts).Close())
}

func (s *Store) park(ctx context.Context, tx pgx.Tx, k Key, state string, head uuid.UUID, h Head, payload []byte) error {
	var insert pgx.Batch
	s.queuePark(&insert, k, state, head, h, payload)
	return postgres.Classify(tx.SendBatch(ctx, &insert).Close())
}

func (s *Store) queuePark(b *pgx.Batch, k Key, state string, head uuid.UUID, h Head, payload []byte) {
	b.Queue(`
		INSERT INTO parked_keys (consumer_group, topic, key, head, state, event_type, attempts, not_before, last_error, payload)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT DO NOTHING`,
		s.group, k.Topic, []byte(k.Key), head, state, h.EventType, h.Attempts, h.NotBefore, h.Message, payload,
	).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return errs.New(errs.Transient, "key %q of %s was parked meanwhile", k.Key, k.Topic)
		}
		return nil
	})
}

// Replace makes next the head of its key, in place of the head with the given id. next is the same
// record after another failed attempt, or a follower whose turn has come. The caller has locked the
// key (see [Store.Take]).
func (s *Store) Replace(ctx context.Context, tx pgx.Tx, key Key, head uuid.UUID, next Head) error {
	next, payload, err := s.send(ctx, tx, next)
	if err != nil {
		return err
	}
	return s.move(ctx, tx, key, head, "retrying", next.ID, next, payload)
}

func (s *Store) move(ctx context.Context, tx pgx.Tx, k Key, from uuid.UUID, state string, to uuid.UUID, h Head, payload []byte) error {
	tag, err := tx.Exec(ctx, `
		UPDATE parked_keys SET head = $5, state = $6, event_type = $7, attempts = $8, not_before = $9, last_error = $10, payload = $11
		WHERE consumer_group = $1 AND topic = $2 AND key = $3 AND head = $4`,
		s.group, k.Topic, []byte(k.Key), from, to, state, h.EventType, h.Attempts, h.NotBefore, h.Message, payload)
	switch {
	case err != nil:
		return postgres.Classify(fmt.Errorf("move on parked key: %w", err))
	case tag.RowsAffected() == 0:
		return errs.New(errs.Internal, "key %q of %s is not parked by %s", k.Key, k.Topic, from)
	}
	return nil
}

// send writes the retry record of h to the outbox. It returns a payload that does not fit beside
// the headers, to be stored in the key's row.
func (s *Store) send(ctx context.Context, tx pgx.Tx, h Head) (_ Head, payload []byte, err error) {
	h, raw, payload, err := s.rawOf(h)
	if err != nil {
		return h, nil, err
	}
	return h, payload, s.out.AppendRaw(ctx, tx, raw)
}

// rawOf creates a retry record with a new id.
func (s *Store) rawOf(h Head) (_ Head, raw outbox.Raw, payload []byte, err error) {
	if h.ID, err = uuid.NewV7(); err != nil {
		return h, raw, nil, err
	}
	raw = outbox.Raw{
		ID:      h.ID,
		Topic:   event.RetryTopic(h.Topic, s.group).Name,
		Key:     h.Key,
		Payload: h.Value,
		Headers: h.headers(s.group),
	}
	if raw.Size() > outbox.MaxRaw {
		payload, raw.Payload = h.Value, nil
		raw.Headers = append(raw.Headers, text(HeaderPayloadOmitted, "true"))
	}
	return h, raw, payload, nil
}

// Take locks the key of a retry record until the transaction ends and reports whether the record is
// still its head. A record that is not the head had its effect already or was replaced, and needs
// no attempt.
func (s *Store) Take(ctx context.Context, tx pgx.Tx, h Head) (current bool, err error) {
	current, _, err = s.look(ctx, tx, h, " FOR UPDATE")
	return current, err
}

// Current is [Store.Take] without the lock: a look before a call to the outside world. payload is
// that of a head too large for the retry topic.
func (s *Store) Current(ctx context.Context, q postgres.Querier, h Head) (current bool, payload []byte, err error) {
	return s.look(ctx, q, h, "")
}

func (s *Store) look(ctx context.Context, q postgres.Querier, h Head, suffix string) (current bool, payload []byte, err error) {
	err = q.QueryRow(ctx, `SELECT payload FROM parked_keys
		WHERE consumer_group = $1 AND topic = $2 AND key = $3 AND head = $4 AND state = 'retrying'`+suffix,
		s.group, h.Topic, []byte(h.ParkedKey().Key), h.ID).Scan(&payload)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil, nil
	case err != nil:
		return false, nil, postgres.Classify(fmt.Errorf("look at parked key: %w", err))
	}
	return true, payload, nil
}

// Followers returns the first records that wait behind the head of a key, at most limit.
func (s *Store) Followers(ctx context.Context, tx pgx.Tx, k Key, limit int) ([]Follower, error) {
	rows, err := tx.Query(ctx, `
		SELECT position, record_key, inbox_id, dead_letter, event_type, record_partition, record_offset, record_time, payload, headers
		FROM parked_records WHERE consumer_group = $1 AND topic = $2 AND key = $3 ORDER BY position LIMIT $4`,
		s.group, k.Topic, []byte(k.Key), limit)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read parked records: %w", err))
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Follower, err error) {
		var letter *uuid.UUID
		err = row.Scan(&f.Position, &f.Key, &f.InboxID, &letter, &f.EventType, &f.Partition, &f.Offset, &f.Time, &f.Value, &f.Headers)
		f.Topic = k.Topic
		if letter != nil {
			f.DeadLetter = *letter
		}
		return f, err
	})
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read parked records: %w", err))
	}
	return all, nil
}

// Drop deletes followers that had their turn.
func (s *Store) Drop(ctx context.Context, tx pgx.Tx, positions ...int64) error {
	if len(positions) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `DELETE FROM parked_records WHERE position = ANY ($1)`, positions); err != nil {
		return postgres.Classify(fmt.Errorf("drop parked records: %w", err))
	}
	return nil
}

// Release ends the parking of a key. Its queue must be empty.
func (s *Store) Release(ctx context.Context, tx pgx.Tx, k Key) error {
	_, err := tx.Exec(ctx, `DELETE FROM parked_keys WHERE consumer_group = $1 AND topic = $2 AND key = $3`,
		s.group, k.Topic, []byte(k.Key))
	if err != nil {
		return postgres.Classify(fmt.Errorf("release parked key: %w", err))
	}
	return nil
}
