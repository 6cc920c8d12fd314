package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/notification/internal/db"
	"eventshop.example/services/notification/notification"
)

// mails is a set of rows.
type mails struct {
	rows    map[string]db.Mail
	changed map[string]bool
}

// load locks the rows of the steps' orders. It first creates those that are missing. A new row takes
// the correlation id of the first step about its order. Old orders get no rows.
func load(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) (reaction.Set[db.Mail], error) {
	correlation := map[string]string{}
	for _, s := range steps {
		if s.Input.Kind != notification.OldOrder && correlation[s.Key] == "" {
			correlation[s.Key] = s.Cause.CorrelationID
		}
	}
	set := &mails{rows: map[string]db.Mail{}, changed: map[string]bool{}}
	if len(correlation) == 0 {
		return set, nil
	}
	open := db.OpenMailsParams{OrderIds: slices.Sorted(maps.Keys(correlation)), Now: steps[0].At}
	for _, key := range open.OrderIds {
		if correlation[key] == "" {
			correlation[key] = key
		}
		open.CorrelationIds = append(open.CorrelationIds, correlation[key])
	}
	// The results of attempts are about rows that exist.
	if slices.ContainsFunc(steps, func(s reaction.Step[Input]) bool { return s.Input.Style != "" }) {
		if err := later(tx, "open mails").OpenMails(ctx, open); err != nil {
			return nil, err
		}
	}
	rows, err := db.New(tx).LockMails(ctx, open.OrderIds)
	if err != nil {
		return nil, fmt.Errorf("lock mails: %w", err)
	}
	set.rows = byOrder(rows)
	return set, nil
}

// look returns the existing rows in their current state.
func look(ctx context.Context, q postgres.Querier, orderIDs []string) (map[string]db.Mail, error) {
	rows, err := db.New(q).GetMails(ctx, orderIDs)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("load mails: %w", err))
	}
	return byOrder(rows), nil
}

func byOrder(rows []db.Mail) map[string]db.Mail {
	out := make(map[string]db.Mail, len(rows))
	for _, row := range rows {
		out[row.OrderID] = row
	}
	return out
}

// Get implements [reaction.Set].
func (m *mails) Get(key string) db.Mail { return m.rows[key] }

// Put implements [reaction.Set].
func (m *mails) Put(key string, row db.Mail) { m.rows[key], m.changed[key] = row, true }

// Save implements [reaction.Set].
func (m *mails) Save(ctx context.Context, tx pgx.Tx) error {
	if len(m.changed) == 0 {
		return nil
	}
	var p db.SaveMailsParams
	for _, key := range slices.Sorted(maps.Keys(m.changed)) {
		row := m.rows[key]
		p.OrderIds, p.States, p.Styles = append(p.OrderIds, key), append(p.States, row.State), append(p.Styles, row.Style)
		p.CustomerIds, p.Recipients = append(p.CustomerIds, row.CustomerID), append(p.Recipients, row.Recipient)
		p.Subjects, p.Bodies = append(p.Subjects, row.Subject), append(p.Bodies, row.Body)
		p.NextAttemptsAt = append(p.NextAttemptsAt, instant(row.NextAttemptAt))
		p.LastErrors, p.Reasons = append(p.LastErrors, row.LastError), append(p.Reasons, row.Reason)
		p.Traceparents, p.Tracestates = append(p.Traceparents, row.Traceparent), append(p.Tracestates, row.Tracestate)
		p.PlacedAt, p.EndedAt = append(p.PlacedAt, instant(row.PlacedAt)), append(p.EndedAt, instant(row.EndedAt))
		p.UpdatedAt = append(p.UpdatedAt, row.UpdatedAt)
	}
	return later(tx, "store mails").SaveMails(ctx, p)
}

// later returns the queries whose results are not read. Their errors say what was attempted.
func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}

// instant returns the zero time for nil. The statement stores the zero time as NULL.
func instant(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}
