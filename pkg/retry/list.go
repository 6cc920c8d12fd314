package retry

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// MaxList is the most dead letters that one [Store.List] returns.
const MaxList = 500

// Filter selects dead letters. Zero fields do not restrict.
type Filter struct {
	Status    Status
	Topic     string
	EventType string
	Class     string    // an errs.Kind
	Key       []byte    // nil: any; empty: those without a key. It matches the original key or the edited one
	Since     time.Time // first given up at or after
	Until     time.Time // first given up before
	After     uuid.UUID // those after this one: a page's last id
	Limit     int       // 0 or more than MaxList: MaxList
}

// List returns the dead letters that match, oldest first. more is true when others follow.
func (s *Store) List(ctx context.Context, q postgres.Querier, f Filter) (page []DeadLetter, more bool, err error) {
	limit := f.Limit
	if limit <= 0 || limit > MaxList {
		limit = MaxList
	}
	args := []any{s.group}
	where := []string{"d.consumer_group = $1"}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args))))
	}
	if f.Status != "" {
		add("d.status = ?", string(f.Status))
	}
	if f.Topic != "" {
		add("d.topic = ?", f.Topic)
	}
	if f.EventType != "" {
		add("d.event_type = ?", f.EventType)
	}
	if f.Class != "" {
		add("d.error_class = ?", f.Class)
	}
	if f.Key != nil {
		add("(coalesce(d.record_key, '') = ? OR d.edited_headers IS NOT NULL AND coalesce(d.edited_key, '') = ?)", f.Key)
	}
	if !f.Since.IsZero() {
		add("d.created_at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		add("d.created_at < ?", f.Until)
	}
	if f.After != uuid.Nil {
		add("d.id > ?", f.After)
	}
	args = append(args, limit+1)
	// The database cuts the texts, because a page with full texts has up to 8 MB.
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM (
			SELECT id, consumer_group, topic, record_partition, record_offset, record_time, record_key, event_id, event_type,
				attempts, first_failure, last_failure, error_class, left(error_message, `+strconv.Itoa(maxSummary)+`) AS error_message,
				'' AS error_stack, status, parks, edited_key, edited_headers, retry_id, created_at, closed_at
			FROM dead_letters d WHERE `+strings.Join(where, " AND ")+` ORDER BY id LIMIT $`+strconv.Itoa(len(args))+`
		) d ORDER BY d.id`, args...)
	if err == nil {
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d DeadLetter, err error) {
			var n nullable
			err = row.Scan(n.targets(&d)...)
			n.into(&d)
			return d, err
		})
	}
	if err != nil {
		return nil, false, postgres.Classify(fmt.Errorf("list dead letters: %w", err))
	}
	if len(page) > limit {
		return page[:limit], true, nil
	}
	return page, false, nil
}

// maxSummary is how many characters of an error's message List returns. List returns no stack.
const maxSummary = 1000
