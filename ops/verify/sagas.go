package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// sagas is I12: an orchestrated saga's log, its commands on the topics and the events tell the same
// story, and all records and all services have one style of an order. It does not fold the log through the
// orchestrator's table, which only its service knows: the tests of the service do.
func sagas(f Facts) Finding {
	r := Finding{Invariant: "I12", Title: "a saga's log, its commands and the events agree"}
	s := storyOf(f, &r)
	s.styles()
	s.stored()
	for i := range f.Sagas {
		s.log(&f.Sagas[i])
		s.inputs(&f.Sagas[i])
		s.sent(&f.Sagas[i])
		s.answered(&f.Sagas[i])
		s.ended(&f.Sagas[i])
	}
	s.commands()
	orders := 0
	for _, style := range s.style {
		if style == event.Orchestrated {
			orders++
		}
	}
	if !f.orchestrator && len(f.Sagas) == 0 {
		r.Counted = fmt.Sprintf("%d orchestrated orders, no orchestrator", orders)
	} else {
		r.Counted = fmt.Sprintf("%d orchestrated orders, %d sagas, %d log lines, %d commands, %d stored styles",
			orders, len(f.Sagas), s.lines, len(s.logged), len(f.Styles))
	}
	return r
}

// chronicle is what I12 works on.
type chronicle struct {
	Facts
	record  map[string]Record      // by event id, of the events that are on their topics
	style   map[string]event.Style // by order, of its OrderCreated
	saga    map[string]*Saga       // by order
	logged  map[string]string      // command id → order, of all logs
	caused  map[string]bool        // ids of events that have caused another one
	status  map[string]folded      // by order
	held    map[string]bool        // orders of which some group of the saga has not handled everything
	lines   int
	finding *Finding
}

func storyOf(f Facts, r *Finding) *chronicle {
	s := &chronicle{
		Facts: f, finding: r, held: holding(f), record: map[string]Record{}, style: map[string]event.Style{}, saga: map[string]*Saga{},
		logged: map[string]string{}, caused: map[string]bool{}, status: map[string]folded{},
	}
	for _, rec := range f.Records {
		if _, ok := s.record[rec.ID.String()]; !sound(rec) || ok {
			continue
		}
		s.record[rec.ID.String()] = rec
		if rec.Causation != rec.ID.String() { // an event without a cause is its own
			s.caused[rec.Causation] = true
		}
		if rec.Type == "OrderCreated" {
			s.style[rec.Key] = styleOf(rec)
		}
	}
	for _, l := range f.DeadLetters { // an operator may have repaired what the orchestrator has handled
		if l.Group == coordinator && l.Repaired != nil && sound(*l.Repaired) {
			s.record[l.Repaired.ID.String()] = *l.Repaired
			if l.Repaired.Type == "OrderCreated" {
				s.style[l.Repaired.Key] = styleOf(*l.Repaired)
			}
		}
	}
	for _, row := range f.Outbox {
		if row.CausationID != "" {
			s.caused[row.CausationID] = true
		}
	}
	for i, saga := range f.Sagas {
		s.saga[saga.OrderID] = &f.Sagas[i]
	}
	for _, o := range f.Orders {
		s.status[o.ID] = fold(o.Events)
	}
	return s
}

// log checks that a log has its lines from 1 on, that each line begins in the state where the one
// before ends, and that the saga is where its log ends.
func (s *chronicle) log(saga *Saga) {
	state, commands := "", int64(0)
	for i, line := range saga.Log {
		s.lines++
		if line.N != int64(i+1) {
			s.finding.breach("order %s: the saga's log has line %d where %d belongs", saga.OrderID, line.N, i+1)
			return
		}
		if line.From != state {
			s.finding.breach("order %s: line %d of the saga's log begins in %s, and the one before ended in %s",
				saga.OrderID, line.N, shown(line.From), shown(state))
		}
		state = line.To
		if line.Command != "" {
			commands++
		}
	}
	if state != saga.State {
		s.finding.breach("order %s: the saga is %s, and its log ends in %s", saga.OrderID, shown(saga.State), shown(state))
	}
	if commands != saga.Version {
		s.finding.breach("order %s: the saga has version %d, and its log %d commands", saga.OrderID, saga.Version, commands)
	}
}

// inputs checks that each event in a log is on its topic, is of the order, and is what the log says.
func (s *chronicle) inputs(saga *Saga) {
	for _, line := range saga.Log {
		command, outcome, answer := strings.Cut(line.Input, ": ")
		if _, fact := events.Catalogue().Lookup(line.Input); !fact && !answer {
			continue // a time limit, or an operator
		}
		rec, ok := s.record[line.EventID]
		if !ok {
			s.finding.breach("order %s: line %d of the saga's log is of %s %s, which is on no topic", saga.OrderID, line.N, line.Input, line.EventID)
			continue
		}
		is := rec.Type
		if c, o, ok := AnswerOf(rec.Event); ok {
			is = c + ": " + o
		}
		if rec.Key != saga.OrderID || is != line.Input || answer && (command == "" || outcome == "") {
			s.finding.breach("order %s: line %d of the saga's log is of %s %s, which is %s of order %s",
				saga.OrderID, line.N, line.Input, line.EventID, is, rec.Key)
		}
	}
}

// AnswerOf returns the content of the answer to a command that emitted no event of its own.
func AnswerOf(e any) (command, outcome string, ok bool) {
	switch a := e.(type) {
	case *events.OrderCommandAnswered:
		return a.Command, a.Outcome, true
	case *events.PaymentCommandAnswered:
		return a.Command, a.Outcome, true
	case *events.InventoryCommandAnswered:
		return a.Command, a.Outcome, true
	case *events.ShipmentCommandAnswered:
		return a.Command, a.Outcome, true
	}
	return "", "", false
}

// answersCommand reports whether events of a type are answers as [AnswerOf] has them.
func answersCommand(typ string) bool {
	t, known := events.Catalogue().Lookup(typ)
	if !known {
		return false
	}
	_, _, ok := AnswerOf(t.New())
	return ok
}

// sent checks that each command in a log was sent once, and is on its topic as a command of the order.
func (s *chronicle) sent(saga *Saga) {
	for _, line := range saga.Log {
		if line.Command == "" {
			continue
		}
		if order, twice := s.logged[line.CommandID]; twice {
			s.finding.breach("order %s: command %s %s is in the log of order %s too, or twice", saga.OrderID, line.Command, line.CommandID, order)
			continue
		}
		s.logged[line.CommandID] = saga.OrderID
		t, known := events.Catalogue().Lookup(line.Command)
		id, err := uuid.Parse(line.CommandID)
		_, commands := events.IsCommands(t.Topic)
		switch rec, ok := s.record[line.CommandID]; {
		case err != nil, !known, !commands:
			s.finding.breach("order %s: line %d of the saga's log sent %s %s, which can be no command", saga.OrderID, line.N, line.Command, line.CommandID)
		case !ok && !s.expired(id, t.Topic):
			s.finding.breach("order %s: command %s %s is in the saga's log and not on %s", saga.OrderID, line.Command, line.CommandID, t.Topic)
		case ok && (rec.Type != line.Command || rec.Key != saga.OrderID):
			s.finding.breach("order %s: command %s %s of the saga's log is on %s as %s of order %s",
				saga.OrderID, line.Command, line.CommandID, rec.Topic, rec.Type, rec.Key)
		}
	}
}

// answered checks that each command of a log has led to an event, or that another event has answered it:
// a compensation that overtakes its step is answered by what becomes of the step, such as the PaymentFailed
// of a late ChargePayment. The saga then has moved on. Where the answer is still to come (a refund is under
// way), a participant answers several sendings of a command with one event. An order that a failed event
// holds, and a saga that asks for attention, may wait for an answer.
func (s *chronicle) answered(saga *Saga) {
	if s.held[saga.OrderID] || saga.Attention != "" {
		return
	}
	done := map[string]bool{}
	for i, line := range saga.Log {
		done[line.Command] = done[line.Command] || s.caused[line.CommandID] || s.overtook(saga, i)
	}
	for _, line := range saga.Log {
		if line.Command != "" && !done[line.Command] {
			s.finding.breach("order %s: command %s %s has no answer", saga.OrderID, line.Command, line.CommandID)
		}
	}
}

// overtook reports whether the saga left the state of a line because of an event that another command of
// the saga has caused.
func (s *chronicle) overtook(saga *Saga, line int) bool {
	for _, next := range saga.Log[line+1:] {
		if next.To != saga.Log[line].To {
			rec, ok := s.record[next.EventID]
			return ok && s.logged[rec.Causation] == saga.OrderID
		}
	}
	return false
}

// ended checks that order and saga have the same end, or none.
func (s *chronicle) ended(saga *Saga) {
	order := s.status[saga.OrderID]
	end := ""
	if len(order.ends) > 0 {
		end = order.ends[len(order.ends)-1]
	}
	over := ""
	if saga.State == "DELIVERED" || saga.State == "CANCELLED" {
		over = saga.State
	}
	switch {
	case end == over:
	case end != "" && over != "":
		s.finding.breach("order %s is %s, and its saga is %s", saga.OrderID, order.status, over)
	case !s.held[saga.OrderID] && saga.Attention == "" && !order.attention:
		s.finding.breach("order %s is %s, and its saga is %s", saga.OrderID, order.status, shown(saga.State))
	}
}

// commands checks that each command on a topic, and each answer's command, is in the log of its
// order's saga.
func (s *chronicle) commands() {
	for _, id := range keys(s.record, nil) {
		rec := s.record[id]
		if _, ok := events.IsCommands(rec.Topic); ok && s.logged[id] != rec.Key {
			s.finding.breach("order %s: %s %s is on %s and not in the saga's log", rec.Key, rec.Type, id, rec.Topic)
		}
		if command, _, ok := AnswerOf(rec.Event); ok && s.logged[rec.Causation] != rec.Key {
			s.finding.breach("order %s: %s %s answers %s %s, which is not in the saga's log", rec.Key, rec.Type, id, command, rec.Causation)
		}
	}
}

// sentAgain returns the commands that operators had sent again: their cause is that of the first.
func sentAgain(f Facts) map[string]bool {
	again := map[string]bool{}
	for _, saga := range f.Sagas {
		for _, line := range saga.Log {
			if line.Input == "Retry" && line.Command != "" {
				again[line.CommandID] = true
			}
		}
	}
	return again
}

// expired reports whether an event is older than its topic keeps records.
func (f Facts) expired(id uuid.UUID, topic string) bool {
	all := events.Topics()
	i := slices.IndexFunc(all, func(t event.Topic) bool { return t.Name == topic })
	if i < 0 {
		return false
	}
	ms, err := strconv.ParseInt(all[i].Config["retention.ms"], 10, 64)
	return err == nil && ms > 0 && timeOf(id).Before(f.At.Add(-time.Duration(ms)*time.Millisecond))
}
