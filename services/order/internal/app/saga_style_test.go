package app_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// another returns a second process on the same database.
func (f *fixture) another(log *slog.Logger, participants ...app.Participant) *fixture {
	f.t.Helper()
	g := &fixture{t: f.t, pool: f.pool, now: f.time()}
	g.app = app.New(app.Config{
		Pool: f.pool, Outbox: newOutbox(schematest.Start(f.t).Codec(events.Catalogue())), Log: log,
		Now: g.time, SagaDeadline: 5 * time.Minute, SnapshotEvery: 4, Participants: participants, ParticipantCheck: 5 * time.Second,
	})
	return g
}

// TestAChangeOfTheRampReachesOtherProcesses: each process reads the row on its own, and orders cost no
// statement for it.
func TestAChangeOfTheRampReachesOtherProcesses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.open()
	g := f.another(slog.New(slog.DiscardHandler))
	if o := g.place(cart()); o.Style != order.Choreographed {
		t.Errorf("at 0 %%: %s", o.Style)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.app.RunSagaStyle(ctx) }()
	set, err := f.app.SetSagaStyle(ctx, 100)
	if err != nil || set.OrchestratedPercent != 100 || !set.Ready || !set.ChangedAt.Equal(f.time()) {
		t.Fatalf("%+v, %v", set, err)
	}
	if o := f.place(cart()); o.Style != order.Orchestrated {
		t.Errorf("the process that changed it: %s", o.Style)
	}
	kafkatest.Eventually(t, "the other process notices", func() bool { return g.place(cart()).Style == order.Orchestrated })
	if cancel(); <-done != nil {
		t.Error("the worker failed")
	}
	for _, percent := range []int{-1, 101} {
		if _, err := f.app.SetSagaStyle(t.Context(), percent); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%d %%: %v", percent, err)
		}
	}
}

// TestTheClosedGate: without it nothing is orchestrated, and the reason is that of the row.
func TestTheClosedGate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	refused := func(what string, err error) {
		t.Helper()
		closed, ok := errors.AsType[*app.NotReadyError](err)
		if !ok || closed.Reason != "the participants were not asked yet" || errs.KindOf(err) != errs.Conflict {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := f.app.SetSagaStyle(t.Context(), 1)
	refused("a percentage", err)
	if s, err := f.app.SetSagaStyle(t.Context(), 0); err != nil || s.Ready {
		t.Errorf("0 %%: %+v, %v", s, err)
	}
	d := f.draft()
	_, err = f.tryPlaceDraft(d.ID, order.Orchestrated)
	refused("a draft", err)
	if o := f.placeDraft(d.ID, ""); o.Style != order.Choreographed {
		t.Errorf("a draft that asks for no style is %s", o.Style)
	}
	// A gate that closes leaves the percentage, and the orders that there are.
	id := f.placeOrchestrated()
	if _, err := f.app.SetSagaStyle(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if o := f.placeDraft(f.draft().ID, ""); o.Style != order.Orchestrated {
		t.Errorf("a draft at 100 %% is %s", o.Style)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE saga_style SET ready = false, reason = 'closed'`); err != nil {
		t.Fatal(err)
	}
	if s, err := f.app.GetSagaStyle(t.Context()); err != nil || s.Ready || s.OrchestratedPercent != 100 || s.Reason != "closed" {
		t.Errorf("%+v, %v", s, err)
	}
	if o := f.place(cart()); o.Style != order.Choreographed {
		t.Errorf("behind a closed gate: %s", o.Style)
	}
	mustCommand(f, app.OnConfirmOrder, events.ConfirmOrder{OrderID: id, TrackingID: "T1"})
	if o := f.get(id); o.State != order.Confirmed {
		t.Errorf("the order from before is %s", o.State)
	}
}

// TestVerdicts: what Kafka says about the groups opens and closes the gate.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	member := func(id string, topics ...string) kafka.GroupMember {
		return kafka.GroupMember{ClientID: id, Host: "/10.0.0.7", Topics: topics}
	}
	group := func(name string, members ...kafka.GroupMember) kafka.Group {
		return kafka.Group{Name: name, Settled: true, Members: members}
	}
	both := []kafka.Group{group("a", member("a1", "a.commands", "a.events")), group("b", member("b1", "b.commands"), member("b2", "b.commands"))}
	old := []kafka.Group{both[0], group("b", member("b1", "b.commands"), member("b0", "b.events"))}
	const lacking = "a member of the consumer group b does not know styles: b0 at /10.0.0.7, which does not subscribe to b.commands"
	away := errors.New("no broker")

	var log strings.Builder
	f := newFixture(t).another(slog.New(slog.NewTextHandler(&log, nil)), app.Participant{Group: "a", Topic: "a.commands"}, app.Participant{Group: "b", Topic: "b.commands"})
	f.now = time.Now() // the row is from now
	for _, c := range []struct {
		name   string
		groups []kafka.Group
		err    error
		reason string // "": ready
		level  string // of the line; "": none
	}{
		{"Kafka is away", nil, away, "the participants were not asked yet", ""},
		{"a group does not exist yet", []kafka.Group{both[0], group("b")}, nil, "the consumer group b has no members", "INFO"},
		{"the same again", []kafka.Group{both[0], group("b")}, nil, "the consumer group b has no members", ""},
		{"a group settles", []kafka.Group{both[0], {Name: "b"}}, nil, "the consumer group b has no members", ""},
		{"all know styles", both, nil, "", "INFO"},
		{"a group is down", []kafka.Group{group("a"), both[1]}, nil, "", ""},
		{"a group rebalances", []kafka.Group{{Name: "a"}, both[1]}, nil, "", ""},
		{"Kafka is away while the gate is open", nil, away, "", ""},
		{"an old member", old, nil, lacking, "WARN"},
		{"the old member is still there", old, nil, lacking, ""},
		{"Kafka is away while the gate is closed", nil, away, lacking, ""},
		{"the group of the old member rebalances", []kafka.Group{both[0], {Name: "b"}}, nil, lacking, ""},
		{"the old member left, and another group is down", []kafka.Group{group("a"), both[1]}, nil, "the consumer group a has no members", "INFO"},
		{"all know styles again", both, nil, "", "INFO"},
	} {
		log.Reset()
		f.advance(5 * time.Second)
		err := f.app.CheckParticipants(t.Context(), func(_ context.Context, names ...string) ([]kafka.Group, error) {
			if strings.Join(names, " ") != "a b" {
				t.Errorf("%s: asks for %v", c.name, names)
			}
			return c.groups, c.err
		})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
		// A process that starts now has the same verdict, whatever Kafka does.
		for _, process := range []*fixture{f, f.another(slog.New(slog.DiscardHandler))} {
			s, err := process.app.GetSagaStyle(t.Context())
			if err != nil || s.Reason != c.reason || s.Ready != (c.reason == "") {
				t.Errorf("%s: %+v, %v; want the reason %q", c.name, s, err, c.reason)
			}
		}
		if got := log.String(); (got != "") != (c.level != "") || c.level != "" && !strings.Contains(got, "level="+c.level) {
			t.Errorf("%s: logged %q, want a line at %q", c.name, got, c.level)
		}
	}
}

// TestReplicasShareTheCheck: what one process has just asked, another one does not ask, and the later
// answer counts.
func TestReplicasShareTheCheck(t *testing.T) {
	t.Parallel()
	of := func(member string) []kafka.Group {
		return []kafka.Group{{Name: "a", Settled: true, Members: []kafka.GroupMember{{ClientID: "a1", Topics: []string{member}}}}}
	}
	participant := app.Participant{Group: "a", Topic: "a.commands"}
	f := newFixture(t).another(slog.New(slog.DiscardHandler), participant)
	f.now = time.Now().Add(time.Minute)
	g := f.another(slog.New(slog.DiscardHandler), participant)
	asked := 0
	check := func(p *fixture, describe app.Describe) {
		t.Helper()
		err := p.app.CheckParticipants(t.Context(), func(ctx context.Context, names ...string) ([]kafka.Group, error) {
			asked++
			return describe(ctx, names...)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	answers := func(groups []kafka.Group) app.Describe {
		return func(context.Context, ...string) ([]kafka.Group, error) { return groups, nil }
	}
	check(f, answers(of("a.commands")))
	check(g, answers(of("a.events")))
	if s, err := f.app.GetSagaStyle(t.Context()); err != nil || !s.Ready || asked != 1 {
		t.Errorf("%+v, %v; asked %d times, want once", s, err, asked)
	}
	// f's answer is slow: g asks later, and is answered before.
	f.advance(5 * time.Second)
	check(f, func(context.Context, ...string) ([]kafka.Group, error) {
		g.advance(6 * time.Second)
		check(g, answers(of("a.events")))
		return of("a.commands"), nil
	})
	if s, err := f.app.GetSagaStyle(t.Context()); err != nil || s.Ready || asked != 3 {
		t.Errorf("%+v, %v; the earlier answer replaced the later one (asked %d times)", s, err, asked)
	}
}

// TestTheStyleIsThatOfTheCustomer: the ramp moves all orders of a customer, and drafts among them.
func TestTheStyleIsThatOfTheCustomer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.open()
	if _, err := f.app.SetSagaStyle(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	seen := map[order.Style]int{}
	for range 20 {
		p := cart()
		p.Customer.ID = uuid.NewString()
		first, second := f.place(p).Style, f.place(p).Style
		if first != second {
			t.Errorf("customer %s: %s, then %s", p.Customer.ID, first, second)
		}
		seen[first]++
	}
	if len(seen) != 2 {
		t.Errorf("20 customers at 50 %%: %v", seen)
	}
	if drafted, placed := f.placeDraft(f.draft().ID, "").Style, f.place(cart()).Style; drafted != placed {
		t.Errorf("the same customer: a draft is %s, an order %s", drafted, placed)
	}
}
