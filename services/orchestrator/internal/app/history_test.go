package app_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

var onReservationFailed = app.OnInventoryReservationFailed

// check demands of a saga that its log has no gap, that the log folds to the row's state through today's
// table, that each line has the decision that the table has, and that the commands of the log are those
// of the outbox, with their ids.
func (f *fixture) check(order string, log []db.SagaLog) {
	f.t.Helper()
	row, _ := f.saga(order)
	definition := orchestrator.Definitions()[row.Definition-1]
	state, commands := orchestrator.None, f.commands(order)
	sent := 0
	for i, line := range log {
		d := orchestrator.Decide(definition, state, orchestrator.Input(line.Input))
		got := orchestrator.Decision{Action: orchestrator.Action(line.Action), Next: orchestrator.State(line.ToState), Effect: orchestrator.Effect(line.Command), Attention: d.Attention}
		if got != d || line.FromState != string(state) || int(line.N) != i+1 || d.Action == orchestrator.Duplicate {
			f.t.Errorf("order %s, line %d: %+v; today's table decides %+v from %q", order, i+1, line, d, state)
		}
		state = d.Next
		if line.Command == "" {
			continue
		}
		if sent >= len(commands) || commands[sent].id.String() != line.CommandID || commands[sent].event.EventType() != line.Command || commands[sent].version != int64(sent+1) {
			f.t.Errorf("order %s, line %d sends %s %s, the outbox has %+v", order, i+1, line.Command, line.CommandID, commands)
		}
		sent++
	}
	if sent != len(commands) || int64(sent) != row.Version || row.State != string(state) || int(row.LogLines) != len(log) {
		f.t.Errorf("order %s: the log folds to %s with %d commands, the row is %s with %d commands and %d lines, the outbox has %d",
			order, state, sent, row.State, row.Version, row.LogLines, len(commands))
	}
	if row.Step != definition.StepOf(state) || len(row.CompensationsDue) != len(definition.CompensationsDue(state)) {
		f.t.Errorf("order %s, %s: step %q, compensations %q", order, row.State, row.Step, row.CompensationsDue)
	}
}

// TestLogsFoldToTheirRows plays random inputs, possible and impossible, in sets of random sizes, some of
// them twice. A log has every step but duplicates.
func TestLogsFoldToTheirRows(t *testing.T) {
	for _, definition := range orchestrator.Definitions() {
		t.Run(fmt.Sprintf("definition %d", definition.Version), func(t *testing.T) {
			f := newFixture(t)
			f.begins(definition)
			f.fold(definition, forwards[definition.Version-1])
		})
	}
}

// fold is the test for sagas of one definition. forward are the events of an order without any trouble.
func (f *fixture) fold(definition orchestrator.Definition, forward string) {
	t := f.t
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	all := orchestrator.Inputs()
	states := map[string]bool{}
	began := inputsOf(forward)
	for round := range 40 {
		id := newOrder()
		f.play(id, began[:1+round%(len(began)-1)]...) // not to the end
		var seen, again []delivery
		for range 1 + random.IntN(25) {
			row, _ := f.saga(id)
			in := all[random.IntN(len(all))]
			if random.IntN(3) > 0 { // mostly an input that moves the saga
				in = moving(random, definition, orchestrator.State(row.State))
			}
			switch {
			case in == orchestrator.Retry && orchestrator.Decide(definition, orchestrator.State(row.State), in).Effect == orchestrator.NoEffect:
				if err := f.retry(id); err == nil {
					t.Errorf("%s was retried", row.State)
				}
			case in == orchestrator.Retry, in == orchestrator.DuePassed:
				f.take(id, in)
			default:
				seen = append(seen, usual(id, in))
				// Two duplicates, which are not logged, can be none when they come again: an answer to a command that
				// had not been sent, which no participant gives, and a second request to cancel, which is answered
				// once more after the dispatch.
				command, _, answers := strings.Cut(string(in), ": ")
				early := answers && !strings.Contains(f.sent(id), command)
				second := in == orchestrator.OrderCancellationRequested &&
					orchestrator.Decide(definition, orchestrator.State(row.State), in).Action == orchestrator.Duplicate
				if !early && !second {
					again = append(again, seen[len(seen)-1])
				}
				set := []delivery{seen[len(seen)-1]}
				for range random.IntN(3) {
					set = append(set, seen[random.IntN(len(seen))])
				}
				f.must(f.react(set...))
			}
			states[row.State] = true
		}
		before := f.sent(id)
		f.must(f.react(again...)) // without an inbox
		if after := f.sent(id); after != before {
			t.Errorf("after a repetition of all events, the commands are %s, before %s", after, before)
		}
		_, log := f.saga(id)
		f.check(id, log)
	}
	for _, s := range orchestrator.States() {
		if s != orchestrator.None && !states[string(s)] {
			t.Errorf("no saga came to %s: the test tests too little", s)
		}
	}
}

// moving returns an input that changes a state, if any does.
func moving(random *rand.Rand, definition orchestrator.Definition, s orchestrator.State) orchestrator.Input {
	inputs := orchestrator.Inputs()
	random.Shuffle(len(inputs), func(i, j int) { inputs[i], inputs[j] = inputs[j], inputs[i] })
	i := slices.IndexFunc(inputs, func(in orchestrator.Input) bool {
		return orchestrator.Decide(definition, s, in).Next != s
	})
	return inputs[max(i, 0)]
}

// TestRepeatedEventsSendNothing gives every event of several roads twice: at once, in one set, and all
// again at the end. No row changes and no command is added.
func TestRepeatedEventsSendNothing(t *testing.T) {
	f := newFixture(t)
	var all []delivery
	for i, road := range []string{
		toShipped + " ShipmentDelivered",
		toCharging + " PaymentFailed OrderCancelled",
		toReserving + " InventoryReservationFailed PaymentRefundFailed PaymentRefunded OrderCancelled",
		toConfirmed + " OrderCancellationRequested ShipmentCancelled InventoryReleased PaymentRefunded OrderCancelled",
		toShipped + " OrderCancellationRequested ShipmentCancellationRejected ShipmentDelivered",
		toScheduling + " OrderCancelled ShipmentDispatched ShipmentDelivered", // a contradiction in between
	} {
		id := newOrder()
		for _, in := range inputsOf(road) {
			d := usual(id, in)
			all = append(all, d)
			if i%2 == 0 {
				f.must(f.react(d))
				f.must(f.react(d))
			} else {
				f.must(f.react(d, d))
			}
		}
		_, log := f.saga(id)
		f.check(id, log)
	}
	want := f.everything()
	for range 3 {
		f.must(f.react(all...))
		for _, d := range all {
			f.must(f.react(d))
		}
	}
	if got := f.everything(); !slices.Equal(got, want) {
		t.Errorf("rows changed: %d before, %d after\n%s", len(want), len(got), fmt.Sprint(got))
	}
}
