package saga

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

const (
	// lateSpan bounds how far back the outboxes are read for the events of late orders, because they have no
	// index by key. An order that was placed earlier is past the usual deadline, some minutes.
	lateSpan = time.Hour
	// clocks is how much the clocks of the services' machines may differ.
	clocks = time.Minute
)

// happened is an event of an order in a service's outbox.
type happened struct {
	OrderID, Type, ID, Cause string
	Version                  int64
	At                       time.Time // when its transaction began, by the clock of the service's database
}

// late adds a hold for each answer that a PENDING or CANCELLING order waits for, once its newest event is
// older than after. An order that another hold explains gets none. No service knows these time limits in the
// choreographed style; an orchestrated saga has limits of its own, while a process of its orchestrator runs.
//
// late sends one query to each database, whatever the number of orders.
func (s *Shop) late(ctx context.Context, after time.Duration, list []Saga, bad *failures) {
	if after <= 0 || len(s.databases) == 0 {
		return
	}
	var quiet []*Saga
	var keys [][]byte
	now := s.now()
	from := now
	for i := range list {
		one := &list[i]
		waits := one.Status == pending || one.Status == cancelling
		if !waits || len(one.Holds) > 0 || now.Sub(one.UpdatedAt) < after {
			continue
		}
		quiet = append(quiet, one)
		if now.Sub(one.PlacedAt) < lateSpan {
			keys = append(keys, []byte(one.OrderID))
			if one.PlacedAt.Before(from) {
				from = one.PlacedAt
			}
		}
	}
	found, complete := s.readHappened(ctx, keys, from, bad)
	for _, one := range quiet {
		newest := one.UpdatedAt
		for _, e := range found[one.OrderID] {
			if e.At.After(newest) {
				newest = e.At
			}
		}
		if now.Sub(newest) < after {
			continue
		}
		hold := Hold{Kind: Late, Group: "order", Since: &newest}
		known := now.Sub(one.PlacedAt) < lateSpan
		switch {
		case known && complete:
			for _, a := range unanswered(one.Style, found[one.OrderID]) {
				hold.Group, hold.Type = a.Service, a.To
				one.Holds = append(one.Holds, hold)
			}
		case !one.Overdue: // otherwise it is listed for that
			one.Holds = append(one.Holds, hold)
		}
	}
}

// unanswered returns the answers of services that an order waits for. The carrier and operators have no
// time limit.
func unanswered(style string, list []happened) []Answers {
	types := map[string]bool{}
	for _, e := range list {
		types[e.Type] = true
	}
	var all []Answers
	if style == string(event.Orchestrated) {
		all = []Answers{ofCoordinator(list)}
	} else {
		all = Open(func(any ...string) bool { return slices.ContainsFunc(any, func(t string) bool { return types[t] }) })
	}
	return slices.DeleteFunc(all, func(a Answers) bool { return a.Service == Carrier || a.Service == Operator })
}

// ofCoordinator returns the answer that an orchestrated order waits for: that to the latest command, or
// what the orchestrator makes of the latest answer or of a request to cancel.
func ofCoordinator(list []happened) Answers {
	var command, reply, request happened
	service, back := "", false
	sent := map[string]string{} // the type of each command, by its id
	for _, e := range list {
		t, _ := events.Catalogue().Lookup(e.Type)
		receiver, is := events.IsCommands(t.Topic)
		if is {
			sent[e.ID] = e.Type
		}
		switch {
		case is && e.Version > command.Version:
			command, service, back = e, receiver, strings.HasSuffix(t.Topic, ".compensations")
		case e.Type == "OrderCancellationRequested":
			request = e
		}
	}
	if command.ID == "" {
		return Answers{To: "OrderCreated", Service: Orchestrator}
	}
	for _, e := range list {
		// A command that was sent twice may be answered once, and a compensation that overtakes its step is
		// answered by what becomes of the step.
		t, _ := events.Catalogue().Lookup(e.Type)
		overtook := back && sent[e.Cause] != "" && t.Topic == service+".events" && e.At.After(command.At)
		if sent[e.Cause] == command.Type || overtook {
			reply = e
		}
	}
	switch {
	case request.ID != "" && !back: // a saga that goes back has taken it, or need not
		return Answers{To: request.Type, Service: Orchestrator}
	case reply.ID == "":
		return Answers{To: command.Type, Service: service}
	}
	return Answers{To: reply.Type, Service: Orchestrator}
}

// readHappened reads the events of orders since a time from all outboxes. complete is false if one of them
// cannot be read.
func (s *Shop) readHappened(ctx context.Context, keys [][]byte, from time.Time, bad *failures) (found map[string][]happened, complete bool) {
	found = map[string][]happened{}
	if len(keys) == 0 {
		return found, true
	}
	rows, failed := readOutboxes[happened](ctx, s, `SELECT encode(key, 'escape'), event_type, id::text, coalesce(ce_causationid, ''), ce_aggregateversion, created_at
		FROM outbox WHERE id >= $1::text::uuid AND key = ANY($2) AND ce_specversion IS NOT NULL`, smallest(from.Add(-clocks)), keys)
	for _, err := range failed {
		bad.add(err)
	}
	for _, service := range slices.Sorted(maps.Keys(rows)) {
		for _, e := range rows[service] {
			found[e.OrderID] = append(found[e.OrderID], e)
		}
	}
	return found, len(failed) == 0
}

// smallest returns the smallest UUIDv7 of a time.
func smallest(at time.Time) string {
	ms := at.UnixMilli()
	return fmt.Sprintf("%08x-%04x-7000-8000-000000000000", ms>>16, ms&0xffff)
}
